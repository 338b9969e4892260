"""Images by URL: fetched for providers that take bytes only, and never from where only this machine can reach."""

import base64
import socket
from typing import Any

import pytest

from caxton_llm.errors import ConnectFailed, InvalidRequest
from caxton_llm.media import inline_images
from caxton_llm.protocols import WireResponse
from caxton_llm.testing import ScriptedTransport
from caxton_llm.types import ChatRequest, ContentPart, ImageUrl, Message

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)
ALLOWED = ("images.internal",)


def request(url: str) -> ChatRequest:
    text = ContentPart(type="text", text="What is this?")
    image = ContentPart(type="image_url", image_url=ImageUrl(url=url, detail="low"))
    return ChatRequest(messages=[Message(role="system", content="Look."), Message(role="user", content=[text, image])])


def answer(status: int = 200, kind: str = "image/png", body: bytes = PNG) -> WireResponse:
    return WireResponse(status=status, headers={"content-type": kind}, body=body)


def image_url(request: ChatRequest) -> str:
    content = request.messages[1].content
    assert isinstance(content, list)
    assert content[1].image_url is not None
    return content[1].image_url.url


async def test_an_image_by_url_becomes_a_data_url() -> None:
    transport = ScriptedTransport([answer(kind="image/png; charset=binary")])
    done = await inline_images(request("https://images.internal/a.png?b=1"), transport, allowed_hosts=ALLOWED)
    assert image_url(done) == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert (transport.requests[0].path, str(transport.requests[0].origin)) == ("/a.png?b=1", "https://images.internal")


async def test_a_request_without_remote_images_stays_the_same_object() -> None:
    inline = request("data:image/png;base64,AAAA")
    assert await inline_images(inline, ScriptedTransport([]), allowed_hosts=()) is inline


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.png",
        "http://localhost/a.png",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/a.png",
        "http://[::1]/a.png",
        "http://0.0.0.0/a.png",
    ],
)
async def test_a_private_address_is_refused_before_anything_is_sent(url: str) -> None:
    transport = ScriptedTransport([answer()])
    with pytest.raises(InvalidRequest, match="public internet") as caught:
        await inline_images(request(url), transport, allowed_hosts=())
    assert caught.value.param == "messages[1].content[1].image_url.url"
    assert transport.requests == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (answer(status=404), "status 404"),
        (answer(status=302), "status 302"),
        (answer(kind="text/html"), "PNG, JPEG, GIF or WebP"),
        (answer(body=b"x" * (20 * 1024 * 1024 + 1)), "larger than 20 MiB"),
        (ConnectFailed("refused"), "refused"),
    ],
)
async def test_an_image_that_cannot_be_had_is_the_callers_mistake_and_says_which_one(
    given: WireResponse | ConnectFailed, reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        await inline_images(request("http://images.internal/a"), ScriptedTransport([given]), allowed_hosts=ALLOWED)
    assert caught.value.param == "messages[1].content[1].image_url.url"


async def test_an_unknown_host_is_named_as_such() -> None:
    with pytest.raises(InvalidRequest, match="host of the URL is unknown"):
        await inline_images(request("http://nowhere.invalid/a"), ScriptedTransport([]), allowed_hosts=())


PUBLIC, OTHER = "93.184.216.34", "2606:2800:21f:cb07::1"


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[list[str]]:
    """A resolver that answers differently each time; returns what it has not answered yet."""
    left = list(answers)

    def getaddrinfo(_host: object, port: int, *_args: object, **_named: object) -> list[Any]:
        return [(0, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return left


async def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    left = resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
    transport = ScriptedTransport([answer()])
    await inline_images(request("https://rebound.example/a.png"), transport, allowed_hosts=())
    origin = transport.requests[0].origin
    assert (origin.address, origin.authority) == (PUBLIC, "rebound.example")
    assert left == [["127.0.0.1"]]


async def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [PUBLIC, "10.0.0.1"])
    transport = ScriptedTransport([answer()])
    with pytest.raises(InvalidRequest, match="public internet"):
        await inline_images(request("https://rebound.example/a.png"), transport, allowed_hosts=())
    assert transport.requests == []


async def test_the_next_address_is_tried_when_one_cannot_be_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [OTHER, PUBLIC])
    transport = ScriptedTransport([ConnectFailed("no route"), answer()])
    await inline_images(request("https://two.example/a.png"), transport, allowed_hosts=())
    assert [sent.origin.address for sent in transport.requests] == [OTHER, PUBLIC]
