"""Azure OpenAI: classic deployments, `/openai/v1`, and the token endpoint of Entra ID on the same server.

What differs from OpenAI: the deployment's name decides, `api-key` or a token signs, every answer carries content filter
results, a stream begins with a chunk without choices and (in asynchronous filter mode, the default here because it is the
harder one) has annotation chunks without `delta`.
"""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from fakes.http_server import Json, Received, Response
from fakes.openai import FakeOpenAI
from fakes.openai_answers import Envelope, chunks_of, completion_of
from fakes.openai_checks import MODELS, ChatModel, Rules
from fakes.provider import Refusal, json_response
from fakes.script import Answer

__all__ = ["FakeAzure"]

_CLASSIC_VERSIONS = ("2024-06-01", "2024-10-21", "2024-12-01-preview", "2025-01-01-preview", "2025-04-01-preview")
_SAFE: Json = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_UNDETECTED: Json = {"filtered": False, "detected": False}
_SAFE_PROMPT: Json = {**_SAFE, "jailbreak": _UNDETECTED}
_SAFE_ANSWER: Json = {**_SAFE, "protected_material_code": _UNDETECTED, "protected_material_text": _UNDETECTED}
_ACCESS_DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
    "subscription and use a correct regional API endpoint for your resource."
)
_BAD_TOKEN = (
    "Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), "
    "or have expired."
)
_FILTERED: Json = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {**_SAFE, "jailbreak": {"filtered": True, "detected": True}},
    },
}
_FAILURES: dict[str, tuple[int, Json]] = {
    "invalid_request": (400, {"code": "BadRequest", "message": "Unrecognized request argument supplied: x"}),
    "authentication": (401, {"code": "401", "message": _ACCESS_DENIED}),
    # Azure answers a missing role with 401, not 403.
    "permission": (
        401,
        {
            "code": "PermissionDenied",
            "message": "The principal `p` lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/x`.",
        },
    ),
    "model_not_found": (
        404,
        {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."},
    ),
    "rate_limited": (
        429,
        {
            "code": "429",
            "message": "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have "
            "exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 26 seconds.",
        },
    ),
    "quota_exhausted": (
        429,
        {"code": "insufficient_quota", "type": "insufficient_quota", "message": "You exceeded your current quota."},
    ),
    "context_window_exceeded": (
        400,
        {
            "message": "This model's maximum context length is 128000 tokens. However, your messages resulted in 130012 "
            "tokens. Please reduce the length of the messages.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
    ),
    "content_filtered": (400, _FILTERED),
    "overloaded": (
        429,
        {"code": "429", "message": "System is experiencing high demand. Please retry after 5 seconds."},
    ),
    "provider_failure": (500, {"code": "InternalServerError", "message": "The server had an error."}),
}


def _base_model(name: str) -> Json:
    """A model as the classic API lists it: what the resource could deploy, not what it has deployed."""
    return {
        "id": name,
        "object": "model",
        "status": "succeeded",
        "created_at": 1715367600,
        "updated_at": 1715367600,
        "lifecycle_status": "generally-available",
        "capabilities": {
            "fine_tune": False,
            "inference": True,
            "completion": False,
            "chat_completion": True,
            "embeddings": False,
        },
        "deprecation": {"inference": 1893456000},
    }


class FakeAzure(FakeOpenAI):
    """`base_url` is the resource's endpoint; `deployments` names the model behind each."""

    failures: ClassVar[frozenset[str]] = frozenset(_FAILURES)

    base_path = ""
    failure_names: ClassVar[Mapping[int, str]] = {**FakeOpenAI.failure_names, 503: "provider_failure"}

    def __init__(
        self,
        *,
        api_key: str = "azure-fake-key-1",
        deployments: Mapping[str, str] | None = None,
        asynchronous_filter: bool = True,
        token_seconds: int = 3599,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(api_key=api_key, models=MODELS, tls=tls)
        self.deployments = dict(deployments or {"my-gpt-4o": "gpt-4o", "my-gpt-5-mini": "gpt-5-mini"})
        self.asynchronous_filter = asynchronous_filter
        self.token_seconds = token_seconds
        self.tenant_id, self.client_id, self.client_secret = "tenant-1", "client-1", "secret~1"
        self.scopes = ("https://cognitiveservices.azure.com/.default", "https://ai.azure.com/.default")
        self.tokens: set[str] = set()

    @property
    def v1_url(self) -> str:
        """The base URL of the newer API, for a plain OpenAI client."""
        return f"{self.root_url}/openai/v1"

    def expire_tokens(self) -> None:
        """No token that was issued is accepted any more."""
        self.tokens.clear()

    def failure(self, name: str, message: str | None = None) -> tuple[int, Json, dict[str, str]]:
        status, error = _FAILURES[name]
        return status, {"error": {**error, "message": message or error["message"]}}, self.response_headers()

    def response_headers(self) -> dict[str, str]:
        return {
            "apim-request-id": self.new_id("apim-"),
            "x-ms-region": "Sweden Central",
            "x-ratelimit-remaining-tokens": "9000",
            "x-ratelimit-reset-tokens": "12",
        }

    def _refuse(self, status: int, code: str, message: str) -> Refusal:
        body = {"error": {"code": code, "message": message}}
        return Refusal(json_response(body, status=status, headers=self.response_headers()))

    # -- routes ----------------------------------------------------------------------------------------------------------

    def route(self, request: Received) -> Response:
        match request.method, request.segments:
            case "POST", [tenant, "oauth2", "v2.0", "token"]:
                return self.scripted(request, lambda: self._issue_token(request, tenant))
            case "POST", ["openai", "deployments", deployment, "chat", "completions"]:
                self._authorize(request, key_as_bearer=False)
                self._check_version(request)
                body = self.body_of(request)
                self._check_classic(request, body)
                return self._chat_with(body, deployment)
            case "POST", ["openai", "v1", "chat", "completions"]:
                self._authorize(request, key_as_bearer=True)
                body = self.body_of(request)
                return self._chat_with(body, body.get("model") if isinstance(body, dict) else None)
            case "GET", ["openai", "models"]:
                self._authorize(request, key_as_bearer=False)
                self._check_version(request)
                listed: Json = {"object": "list", "data": [_base_model(name) for name in self.models]}
                return self.scripted(request, lambda: json_response(listed, headers=self.response_headers()))
            case "GET", ["openai", "v1", "models"]:
                self._authorize(request, key_as_bearer=True)
                listing = {"object": "list", "data": [self.model_body(name) for name in self.models]}
                return self.scripted(request, lambda: json_response(listing, headers=self.response_headers()))
        raise self._refuse(404, "404", "Resource not found")

    def _authorize(self, request: Received, *, key_as_bearer: bool) -> None:
        key, bearer = request.headers.get("api-key"), request.headers.get("authorization")
        if key is not None and bearer is not None:
            raise self._refuse(400, "BadRequest", "api-key and Authorization must not both be given.")
        if bearer is not None:
            token = bearer.removeprefix("Bearer ")
            if token not in self.tokens and not (key_as_bearer and token == self.api_key):
                raise self._refuse(401, "Unauthorized", _BAD_TOKEN)
        elif key != self.api_key:
            raise self._refuse(401, "401", _ACCESS_DENIED)

    def _check_version(self, request: Received) -> None:
        version = request.query.get("api-version")
        if version is None:
            text = "The api-version query parameter (?api-version=) is required for all requests."
            raise self._refuse(400, "MissingApiVersionParameter", text)
        if version not in _CLASSIC_VERSIONS:
            raise self._refuse(404, "404", "Resource not found")

    def _check_classic(self, request: Received, body: Json) -> None:
        if not isinstance(body, dict):
            return
        if "stream_options" in body and request.query["api-version"] < "2024-09-01":
            raise self.refusal(400, "Unrecognized request argument supplied: stream_options")
        for message in body.get("messages") or []:
            parts = message.get("content") if isinstance(message, dict) else None
            if isinstance(parts, list) and any(isinstance(part, dict) and part.get("type") == "file" for part in parts):
                raise self._refuse(400, "OperationNotSupported", "Invalid value: 'file'.")

    def _chat_with(self, body: Json, deployment: str | None) -> Response:
        if deployment not in self.deployments:
            raise self._refuse(404, "DeploymentNotFound", _FAILURES["model_not_found"][1]["message"])
        if isinstance(body, dict):
            body = {**body, "model": self.deployments[deployment]}
        response = self.chat(body)
        response.headers.setdefault("x-ms-deployment-name", deployment)
        return response

    def rules(self) -> Rules:
        return Rules(models=self.models, content_key_required=True)

    def envelope(self, body: Json, answer: Answer, model: ChatModel) -> Envelope:
        return replace(super().envelope(body, answer, model), extra={"system_fingerprint": "fp_fake"})

    # -- answers ---------------------------------------------------------------------------------------------------------

    def completion(self, answer: Answer, envelope: Envelope) -> dict[str, Json]:
        body = completion_of(answer, envelope)
        for choice in body["choices"]:
            choice["content_filter_results"] = self._results(answer)
        return {**body, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE_PROMPT}]}

    def _results(self, answer: Answer) -> Json:
        if answer.finish == "content_filter":
            return {**_SAFE_ANSWER, "violence": {"filtered": True, "severity": "high"}}
        return _SAFE_ANSWER

    def chunks(self, answer: Answer, envelope: Envelope, pieces: int | None) -> Iterator[dict[str, Json]]:
        blank = {"id": "", "object": "", "created": 0, "model": "", "usage": None}
        yield {
            **blank,
            "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE_PROMPT}],
        }
        for chunk in chunks_of(answer, envelope, pieces):
            for choice in chunk["choices"]:
                choice["content_filter_results"] = {} if self.asynchronous_filter else self._results(answer)
            yield chunk
            if self.asynchronous_filter and chunk["choices"] and chunk["choices"][0]["finish_reason"]:
                offsets = {"check_offset": 0, "start_offset": 0, "end_offset": len(answer.text)}
                annotation = {"content_filter_results": self._results(answer), "content_filter_offsets": offsets}
                yield {**blank, "choices": [{"index": 0, "finish_reason": None, **annotation}]}

    # -- Entra ID --------------------------------------------------------------------------------------------------------

    def _issue_token(self, request: Received, tenant: str) -> Response:
        form = request.form
        problems = (
            (tenant != self.tenant_id, 400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found."),
            (
                form.get("grant_type") != "client_credentials",
                400,
                "unsupported_grant_type",
                "AADSTS70003: The app requested an unsupported grant type.",
            ),
            (
                form.get("client_id") != self.client_id,
                400,
                "unauthorized_client",
                "AADSTS700016: Application not found.",
            ),
            (
                form.get("client_secret") != self.client_secret,
                401,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided.",
            ),
            (
                form.get("scope") not in self.scopes,
                400,
                "invalid_scope",
                "AADSTS70011: The provided scope is not valid.",
            ),
        )
        for is_wrong, status, error, text in problems:
            if is_wrong:
                body = {"error": error, "error_description": text, "error_codes": [int(text[6 : text.index(":")])]}
                raise Refusal(json_response(body, status=status))
        token = self.new_id("eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJmYWtlIn0.")
        self.tokens.add(token)
        seconds = self.token_seconds
        granted: Json = {
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": token,
        }
        return json_response(granted)
