"""One request to one provider: a dialect's encoding joined with a provider's address. Pure."""

from caxton_llm.errors import LlmError
from caxton_llm.protocols import (
    EncodedChat,
    ProviderDialect,
    StreamDecoder,
    WireRequest,
    WireResponse,
)
from caxton_llm.types import ChatResponse, ParameterReport

__all__ = ["ChatExchange"]


class ChatExchange:
    """The `Exchange` of every provider that speaks a `ProviderDialect`."""

    __slots__ = ("_dialect", "_restore", "params", "request")

    def __init__(self, dialect: ProviderDialect, request: WireRequest, encoded: EncodedChat) -> None:
        self._dialect = dialect
        self._restore = encoded.restore
        self.request = request
        self.params: ParameterReport = encoded.report

    def decode(self, response: WireResponse) -> ChatResponse:
        return self._dialect.decode_chat(response.body, self._restore)

    def decoder(self) -> StreamDecoder:
        return self._dialect.stream_decoder(self._restore)

    def classify(self, response: WireResponse) -> LlmError:
        return self._dialect.classify(response)
