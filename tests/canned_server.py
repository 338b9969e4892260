"""A server that takes anything and answers what it was told to."""

from fakes.http_server import HttpServer, Received, Response

__all__ = ["Canned"]


class Canned(HttpServer):
    """`answer` is sent to every request."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = Response()

    def respond(self, request: Received) -> Response:
        return self.answer
