"""Secret stores on loopback: the few calls of Vault, AWS Secrets Manager and Azure Key Vault that reading a secret needs."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import trustme

SECRET = "sk-stored-secret"
TOKEN = "the-right-token"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Nothing is printed."""

    def answer(self, status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class VaultHandler(_Handler):
    """The key-value engine, version 2, mounted at `secret` and at `team/kv`."""

    SECRETS: ClassVar[dict[str, dict[str, object]]] = {
        "/v1/secret/data/caxton/llm/openai": {"api_key": SECRET, "other": "x"},
        "/v1/team/kv/data/only": {"value": f" {SECRET}\n"},
        "/v1/secret/data/number": {"api_key": 5},
    }

    def do_GET(self) -> None:
        if self.headers.get("X-Vault-Token") != TOKEN:
            self.answer(403, {"errors": ["permission denied"]})
        elif self.path == "/v1/secret/data/broken":
            self.answer(200, {"data": None})
        elif self.path in self.SECRETS:
            self.answer(200, {"data": {"data": self.SECRETS[self.path], "metadata": {"version": 1}}})
        else:
            self.answer(404, {"errors": []})


class AwsHandler(_Handler):
    """`GetSecretValue` of AWS Secrets Manager."""

    SECRETS: ClassVar[dict[str, str | None]] = {
        "caxton/openai": json.dumps({"api_key": SECRET, "other": "x"}),
        "plain": SECRET,
        "binary": None,
    }

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = request["SecretId"]
        if self.headers["X-Amz-Target"] != "secretsmanager.GetSecretValue" or name not in self.SECRETS:
            self.answer(400, {"__type": "ResourceNotFoundException", "Message": "Secrets Manager can't find it."})
        else:
            text = self.SECRETS[name]
            value = {"SecretBinary": "aGk="} if text is None else {"SecretString": text}
            self.answer(200, {"ARN": f"arn:{name}", "Name": name, "VersionId": "v1", **value})


class AzureHandler(_Handler):
    """Reading a secret, after the challenge that tells the client which token to get."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            challenge = 'Bearer authorization="https://login.example.com/tenant", resource="https://vault.azure.net"'
            self.answer(401, {"error": {"code": "Unauthorized"}}, {"WWW-Authenticate": challenge})
        elif self.path.startswith("/secrets/openai-api-key/"):
            host = self.headers["host"]
            self.answer(200, {"value": SECRET, "id": f"https://{host}/secrets/openai-api-key/1", "attributes": {}})
        else:
            self.answer(404, {"error": {"code": "SecretNotFound", "message": "not found"}})


@contextmanager
def serving(handler: type[_Handler], certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """A server on a free port of loopback; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=5)
        server.server_close()


def write_authority(authority: trustme.CA, folder: Path) -> Path:
    """The authority's certificate as a file."""
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path
