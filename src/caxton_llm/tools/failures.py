"""What goes wrong between us and a server, before it is told to whoever asked."""

__all__ = ["ServerEnded", "ServerForgot", "ServerFailure", "ServerUnavailable"]


class ServerFailure(Exception):
    """The server gave an error, or something that is no answer. The message is for people and for models; it may repeat what
    the server says, so it is not for logs."""


class ServerUnavailable(ServerFailure):
    """Nothing was sent: the server is not there, or does not start."""


class ServerForgot(ServerFailure):
    """The server was started again and knows nothing of the connection: it has refused the request, which may be repeated."""


class ServerEnded(ServerFailure):
    """The connection ended while an answer was awaited; whether the request took effect is not known."""
