"""Answers of the endpoints that are not hot: JSON, and errors in the client's own shape."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from caxton_llm.errors import LlmError
from caxton_llm.server.headers import error_headers, new_request_id
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client
from caxton_llm.wire.openai_chat import client as openai_chat_client

__all__ = ["error_response", "json_response"]


def json_response(value: object, status: int = 200) -> Response:
    """The value as JSON."""
    return Response(msgspec.json.encode(value), status_code=status, headers={"content-type": "application/json"})


def error_response(request: Request, error: LlmError, status: int | None = None) -> Response:
    """The error in Anthropic's shape for a client of Anthropic's, else in OpenAI's; `status` replaces the error's own."""
    anthropic = "anthropic-version" in request.headers or request.url.path.startswith("/v1/messages")
    dialect = anthropic_messages_client if anthropic else openai_chat_client
    request_id = new_request_id()
    error.gateway_request_id = request_id
    response = Response(dialect.encode_error(error), status_code=status or error.http_status)
    response.raw_headers.extend(error_headers(error, request_id))
    return response
