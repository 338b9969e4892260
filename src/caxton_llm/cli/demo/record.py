"""What is kept of one exchange of a demonstration."""

from msgspec import Struct, field

from caxton_llm.cli.demo.clients import Answer

__all__ = ["Exchange"]


class Exchange(Struct, kw_only=True):
    """Times are in seconds. `cost_usd` is `None` when it is not known."""

    client: str
    what: str
    path: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """The gateway's own response headers."""
    first_s: float | None = None
    """Until the first text of a stream."""
    total_s: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    failure: str = ""

    def note(self, answer: Answer, seconds: float) -> None:
        """A complete answer."""
        self.total_s = seconds
        self.prompt_tokens = answer.prompt_tokens
        self.completion_tokens = answer.completion_tokens
        header = self.headers.get("x-caxton-cost-usd", "unknown")
        self.cost_usd = (
            answer.caxton.get("cost_usd") if answer.caxton else None if header == "unknown" else float(header)
        )
        if not answer.text and answer.call is None:
            self.failure = "the answer is empty"
        elif answer.prompt_tokens is None or answer.completion_tokens is None:
            self.failure = "the answer does not tell its tokens"
