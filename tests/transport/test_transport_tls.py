"""TLS is always verified; on both implementations and both event loops."""

import asyncio
import ssl
from pathlib import Path
from typing import Literal

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from caxton_llm.errors import ConfigurationError, ConnectFailed, LlmError
from caxton_llm.protocols import Origin
from caxton_llm.transport.choose import make_transport
from caxton_llm.transport.tls import tls_context
from transport.raw_server import Peer, RawServer, always, response, server_context
from transport.sending import PATIENCE_S, AnyTransport, MakeTransport, post, send, whole


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="module")
def client_cert(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("client")
    issued = authority.issue_cert("client@example.com")
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture
def trusting(make: MakeTransport, ca_file: str) -> AnyTransport:
    return make(ssl_context=tls_context(ca_file=ca_file))


async def test_a_trusted_server_is_spoken_to_and_its_connection_kept(
    trusting: AnyTransport, authority: trustme.CA
) -> None:
    async with RawServer(always(response()), context=server_context(authority, "127.0.0.1")) as server:
        for _ in range(3):
            assert await whole(trusting, server.origin) == b"hi"
        assert server.connections == 1


async def test_a_name_is_verified_as_a_name(trusting: AnyTransport, authority: trustme.CA) -> None:
    async with RawServer(always(response()), context=server_context(authority, "localhost")) as server:
        assert await whole(trusting, Origin("https", "localhost", server.origin.port)) == b"hi"


async def test_at_a_given_address_the_host_is_what_the_certificate_must_name(
    trusting: AnyTransport, authority: trustme.CA
) -> None:
    async with RawServer(always(response()), context=server_context(authority, "images.example")) as server:
        port = server.origin.port
        assert await whole(trusting, Origin("https", "images.example", port, address="127.0.0.1")) == b"hi"
        with pytest.raises(ConnectFailed, match="certificate"):
            await whole(trusting, Origin("https", "other.example", port, address="127.0.0.1"))


async def test_an_unknown_authority_is_refused_with_advice(transport: AnyTransport, authority: trustme.CA) -> None:
    async with RawServer(always(response()), context=server_context(authority, "127.0.0.1")) as server:
        with pytest.raises(ConnectFailed, match=rf"the certificate of {server.origin} was refused: .*ca_file"):
            await send(transport, server.origin)
        assert server.requests == []


async def test_a_certificate_for_another_host_is_refused(trusting: AnyTransport, authority: trustme.CA) -> None:
    async with RawServer(always(response()), context=server_context(authority, "other.example")) as server:
        with pytest.raises(ConnectFailed, match="certificate"):
            await send(trusting, server.origin)
        assert server.requests == []


async def test_a_context_that_does_not_verify_is_refused(make: MakeTransport) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(ConfigurationError, match="always verified"):
        make(ssl_context=context)
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ConfigurationError, match="always verified"):
        make(ssl_context=context)


async def test_a_large_exchange_survives_tls(trusting: AnyTransport, authority: trustme.CA) -> None:
    body = bytes(range(256)) * 16 * 1024

    async def echo(peer: Peer) -> None:
        while request := await peer.request():
            await peer.send(response(request.body))

    async with RawServer(echo, context=server_context(authority, "127.0.0.1")) as server:
        assert await whole(trusting, post(server.origin, body)) == body
        assert await whole(trusting, server.origin) == b"{}"
        assert server.connections == 1


async def test_a_caller_that_leaves_closes_a_tls_connection_at_once(
    trusting: AnyTransport, authority: trustme.CA
) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        gone.set()

    async with (
        RawServer(script, context=server_context(authority, "127.0.0.1")) as server,
        asyncio.timeout(PATIENCE_S),
    ):
        task = asyncio.create_task(send(trusting, server.origin))
        await asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gone.wait()


@pytest.mark.parametrize("kind", ["lean", "aiohttp"])
async def test_a_client_certificate_is_shown(
    kind: Literal["lean", "aiohttp"], authority: trustme.CA, ca_file: str, client_cert: tuple[str, str]
) -> None:
    cert, key = client_cert
    context = server_context(authority, "127.0.0.1", ask_client=True)
    with_cert = make_transport(kind=kind, ca_file=ca_file, client_cert=cert, client_key=key)
    without = make_transport(kind=kind, ca_file=ca_file)
    async with RawServer(always(response()), context=context) as server:
        assert await whole(with_cert, server.origin) == b"hi"
        with pytest.raises(LlmError):
            await whole(without, server.origin)
        assert len(server.requests) == 1
        await with_cert.aclose()
        await without.aclose()


@pytest.mark.parametrize("kind", ["lean", "aiohttp"])
def test_files_that_cannot_be_used_are_the_operators_mistake(
    kind: Literal["lean", "aiohttp"], tmp_path: Path, ca_file: str, client_cert: tuple[str, str]
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    cert, key = client_cert
    missing = str(tmp_path / "missing.pem")
    for ca, certificate, its_key in (
        (missing, None, None),
        (str(empty), None, None),
        (None, str(empty), None),
        (None, missing, key),
        (None, cert, ca_file),
        (None, None, key),
    ):
        with pytest.raises(ConfigurationError, match=r"`ca_file`|`client_cert`|`client_key`"):
            make_transport(kind=kind, ca_file=ca, client_cert=certificate, client_key=its_key)


def test_a_key_that_asks_for_a_password_is_refused_instead_of_asking(
    tmp_path: Path, client_cert: tuple[str, str]
) -> None:
    cert, key = client_cert
    plain = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(ConfigurationError, match="`client_cert` and `client_key`"):
        tls_context(client_cert=cert, client_key=str(locked))
