"""The `openai` package (and Azure's own credential) prove the fake Azure server."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import trustme
from openai.types.chat import ChatCompletionMessageParam

from answer_fields import fields_of
from fakes import FakeAzure, Usage
from recorded import interactions

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]
VERSION = "2024-10-21"


@pytest.fixture
async def classic(fake_azure: FakeAzure) -> AsyncIterator[openai.AsyncAzureOpenAI]:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=fake_azure.base_url, api_version=VERSION, api_key=fake_azure.api_key, max_retries=0
    ) as opened:
        yield opened


async def test_a_classic_deployment_answers_with_its_filter_results(
    classic: openai.AsyncAzureOpenAI, fake_azure: FakeAzure
) -> None:
    answer = await classic.chat.completions.create(model="my-gpt-4o", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.model == "gpt-4o-2024-08-06"
    assert answer.model_extra is not None
    assert answer.model_extra["prompt_filter_results"][0]["content_filter_results"]["hate"]["severity"] == "safe"
    request = fake_azure.last_request
    assert request.path == "/openai/deployments/my-gpt-4o/chat/completions"
    assert request.query == {"api-version": VERSION}


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_stream_begins_without_choices_and_may_annotate_without_delta(
    classic: openai.AsyncAzureOpenAI, fake_azure: FakeAzure, asynchronous: bool
) -> None:
    fake_azure.asynchronous_filter = asynchronous
    fake_azure.reply("one two", usage=Usage(9, 2, cached=4))
    stream = await classic.chat.completions.create(
        model="my-gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert (chunks[0].id, chunks[0].model, chunks[0].choices) == ("", "", [])
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens_details is not None
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 4
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    bare = [choice for choice in choices if "delta" not in choice.model_fields_set]
    assert len(bare) == (1 if asynchronous else 0)
    text = "".join(choice.delta.content or "" for choice in choices if choice not in bare)
    assert text == "one two"


async def test_the_newer_api_takes_a_plain_client_and_the_key_as_bearer(fake_azure: FakeAzure) -> None:
    async with openai.AsyncOpenAI(base_url=fake_azure.v1_url, api_key=fake_azure.api_key, max_retries=0) as client:
        answer = await client.chat.completions.create(model="my-gpt-5-mini", messages=HELLO)
        assert answer.model == "gpt-5-mini-2025-08-07"
        assert "gpt-4o" in [model.id async for model in client.models.list()]
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-4o", messages=HELLO)
        assert caught.value.code == "DeploymentNotFound"


@pytest.mark.parametrize(
    ("name", "error_class", "code"),
    [
        ("invalid_request", openai.BadRequestError, "BadRequest"),
        ("authentication", openai.AuthenticationError, "401"),
        ("permission", openai.AuthenticationError, "PermissionDenied"),
        ("model_not_found", openai.NotFoundError, "DeploymentNotFound"),
        ("rate_limited", openai.RateLimitError, "429"),
        ("quota_exhausted", openai.RateLimitError, "insufficient_quota"),
        ("context_window_exceeded", openai.BadRequestError, "context_length_exceeded"),
        ("overloaded", openai.RateLimitError, "429"),
        ("provider_failure", openai.InternalServerError, "InternalServerError"),
    ],
)
async def test_a_scripted_failure_is_the_packages_own_error(
    classic: openai.AsyncAzureOpenAI,
    fake_azure: FakeAzure,
    name: str,
    error_class: type[openai.APIStatusError],
    code: str,
) -> None:
    fake_azure.fail(name)
    with pytest.raises(error_class) as caught:
        await classic.chat.completions.create(model="my-gpt-4o", messages=HELLO)
    assert caught.value.code == code
    assert caught.value.response.headers["apim-request-id"].startswith("apim-")


async def test_a_filtered_prompt_says_by_which_category(
    classic: openai.AsyncAzureOpenAI, fake_azure: FakeAzure
) -> None:
    fake_azure.fail("content_filtered")
    with pytest.raises(openai.BadRequestError) as caught:
        await classic.chat.completions.create(model="my-gpt-4o", messages=HELLO)
    assert caught.value.code == "content_filter"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["innererror"]["content_filter_result"]["jailbreak"]["filtered"] is True


async def test_a_filtered_answer_ends_with_content_filter(
    classic: openai.AsyncAzureOpenAI, fake_azure: FakeAzure
) -> None:
    fake_azure.reply("half of", finish="content_filter")
    answer = await classic.chat.completions.create(model="my-gpt-4o", messages=HELLO)
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.choices[0].model_extra is not None
    assert answer.choices[0].model_extra["content_filter_results"]["violence"]["filtered"] is True


async def test_what_azure_does_not_take_is_refused(fake_azure: FakeAzure) -> None:
    url, key = fake_azure.base_url, fake_azure.api_key
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=url, api_version="2019-01-01", api_key=key, max_retries=0
    ) as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="my-gpt-4o", messages=HELLO)
    async with openai.AsyncAzureOpenAI(azure_endpoint=url, api_version=VERSION, api_key="no", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="my-gpt-4o", messages=HELLO)
        assert caught.value.code == "401"
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=url, api_version="2024-06-01", api_key=key, max_retries=0
    ) as client:
        with pytest.raises(openai.BadRequestError, match="stream_options"):
            await client.chat.completions.create(
                model="my-gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
        with pytest.raises(openai.BadRequestError, match="content"):
            await client.post("/deployments/my-gpt-4o/chat/completions", body={"messages": messages}, cast_to=object)
    async with openai.AsyncOpenAI(base_url=f"{url}/openai/deployments/my-gpt-4o", api_key="x", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as bad:
            await client.chat.completions.create(
                model="x", messages=HELLO, extra_headers={"Authorization": openai.Omit(), "api-key": key}
            )
        assert bad.value.code == "MissingApiVersionParameter"


async def test_a_token_of_entra_id_signs_until_it_expires(tmp_path: Path) -> None:
    identity = pytest.importorskip("azure.identity.aio")
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with FakeAzure(tls=context) as server:
        async with identity.ClientSecretCredential(
            server.tenant_id,
            server.client_id,
            server.client_secret,
            authority=server.root_url,
            disable_instance_discovery=True,
            connection_verify=str(tmp_path / "ca.pem"),
        ) as credential:
            token = (await credential.get_token(server.scopes[0])).token
        assert token in server.tokens


async def test_a_token_is_refused_once_it_has_expired(fake_azure: FakeAzure) -> None:
    fake_azure.tokens.add("eyJ.token")
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=fake_azure.base_url, api_version=VERSION, azure_ad_token="eyJ.token", max_retries=0
    ) as client:
        await client.chat.completions.create(model="my-gpt-4o", messages=HELLO)
        fake_azure.expire_tokens()
        with pytest.raises(openai.AuthenticationError, match="Access token is missing"):
            await client.chat.completions.create(model="my-gpt-4o", messages=HELLO)


async def test_the_recorded_request_gets_an_answer_with_the_recorded_fields(
    classic: openai.AsyncAzureOpenAI, fake_azure: FakeAzure
) -> None:
    recorded = interactions("azure__test_azure_provider_call")[0]
    answer = await classic._client.post(
        f"{fake_azure.base_url}/openai/deployments/my-gpt-4o/chat/completions",
        params={"api-version": VERSION},
        json=recorded.request,
        headers={"api-key": fake_azure.api_key},
    )
    assert answer.status_code == recorded.status
    assert fields_of(recorded.body) - fields_of(answer.content) == set()
