"""`caxton conversations export` and `import`."""

from pathlib import Path

from caxton_llm.cli.conversations.opened import opened_store
from caxton_llm.cli.conversations.place import Whose
from caxton_llm.cli.files import is_stream, pieces_of, reading, writing
from caxton_llm.cli.screen import Screen
from caxton_llm.errors import LlmError
from caxton_llm.memory.transfer import lines_of
from caxton_llm.stores.conversations.transfer import export_conversations, import_conversations

__all__ = ["export", "load"]


def export(whose: Whose, output: Path, screen: Screen, *, conversation: str | None) -> None:
    """Exchanges and summaries, one a line."""
    with opened_store(whose) as store:
        count = 0
        with writing(output) as file, screen.waiting("exporting"):
            lines = export_conversations(store, tenant=whose.tenant, agent=whose.agent, conversation=conversation)
            for line in lines:
                file.write(line)
                count += 1
    where = "" if is_stream(output) else f" to {output}"
    screen.note(f"{count} lines exported{where}")


def load(whose: Whose, source: Path, screen: Screen) -> None:
    """Import a file, or standard input."""
    with reading(source) as file, opened_store(whose, create=True) as store:
        try:
            with screen.waiting("importing"):
                imported = import_conversations(store, lines_of(pieces_of(file)), tenant=whose.tenant)
        except (LlmError, KeyboardInterrupt):
            screen.note(
                "What was imported before stays. Importing the whole file again is safe: nothing is written twice."
            )
            raise
    screen.line(f"{imported.lines} lines: {imported.exchanges} exchanges are new")
