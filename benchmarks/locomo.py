"""Evidence recall on LoCoMo: how much of what answers a question is among the turns that the memory selects.

    python benchmarks/locomo.py [--data ../shared/locomo/dev.json] [--candidates 64]

Each row adds one ingredient to the row above. Everything goes through the embedded store and `MemorySearch`, as a user's
search does. The turns are ranked, and the share of the question's evidence among the first 5, 10, 25, 50
or within 500, 1,000, 2,000 tokens (characters / 4 + 4) is averaged over the questions of categories 1 to 4. The data is
CC BY-NC 4.0: for measuring only. Without the file there is nothing to measure, and the program says so.
"""

import argparse
import re
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from msgspec import Struct, convert
from msgspec.json import decode
from msgspec.structs import replace

from caxton_llm.memory.embedding.calibration import default_calibration
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Turn
from caxton_llm.memory.scoring import Weights
from caxton_llm.memory.search import MemorySearch
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.types import Json

DATA = Path(__file__).parents[1] / "../shared/locomo/dev.json"
COUNTS = (5, 10, 25, 50)
BUDGETS = (500, 1000, 2000)
NOW_S = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
"""After the last conversation."""
CATEGORIES = {1: "several", 2: "time", 3: "open", 4: "single"}

NOTHING = Weights(
    lexical=0,
    dense=0,
    late=0,
    neighbours=(),
    late_neighbours=(),
    relations=0,
    named=0,
    dated=0,
    question=0,
    recency=0,
    confidence=0,
    used=0,
)
FULL = Weights()
BOTH = replace(NOTHING, lexical=FULL.lexical, dense=FULL.dense)
SHARED = replace(BOTH, neighbours=FULL.neighbours)
LATE = replace(SHARED, late=FULL.late)
JOINED = replace(LATE, late_neighbours=FULL.late_neighbours)
NAMED = replace(JOINED, named=FULL.named)
DATED = replace(NAMED, dated=FULL.dated)
ROWS = {
    "BM25 alone": replace(NOTHING, lexical=1),
    "static embedding alone": replace(NOTHING, dense=1),
    "late interaction alone": replace(NOTHING, late=1),
    "BM25 + static": BOTH,
    "+ neighbours share": SHARED,
    "+ late interaction": LATE,
    "+ late interaction over neighbours": JOINED,
    "+ speaker named in the query": NAMED,
    "+ time named in the query": DATED,
    "+ turns that ask count less (all)": FULL,
}


class Said(Struct):
    speaker: str
    dia_id: str
    text: str
    blip_caption: str = ""

    @property
    def said(self) -> str:
        return self.text + (f" [shares {self.blip_caption}]" if self.blip_caption else "")


class Question(Struct):
    question: str
    category: int
    evidence: list[str]

    def turns(self) -> set[str]:
        """The ids of the evidence; some entries hold several in one string, or zeros before a number."""
        found = re.findall(r"D:?(\d+):(\d+)", " ".join(self.evidence))
        return {f"D{int(session)}:{int(turn)}" for session, turn in found}


class Dialogue(Struct):
    conversation: dict[str, Json]
    qa: list[Question]

    def time_s(self, session: int) -> float:
        """When the session took place: seconds since 1970."""
        written = self.conversation[f"session_{session}_date_time"]
        return datetime.strptime(written, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC).timestamp()

    def sessions(self) -> list[tuple[int, Said]]:
        """All turns in order, each with the number of its session."""
        numbers = sorted(int(key[8:]) for key in self.conversation if re.fullmatch(r"session_\d+", key))
        return [(n, turn) for n in numbers for turn in convert(self.conversation[f"session_{n}"], list[Said])]


class Conversation:
    """The turns of one conversation in a store of their own."""

    def __init__(self, dialogue: Dialogue, folder: Path) -> None:
        turns = dialogue.sessions()
        records = [
            Turn(
                id=said.dia_id,
                conversation=f"session {number}",
                index=int(said.dia_id.split(":")[1]),
                speaker=said.speaker,
                text=said.said,
                at=dialogue.time_s(number),
            )
            for number, said in turns
        ]
        self.store = SqliteMemory(folder, StaticEmbedder.default(), background=False)
        self.store.put(records)
        self.store.catch_up()
        self.costs = {record.id: len(f"{record.speaker}: {record.text}") / 4 + 4 for record in records}

    def __contains__(self, turn: str) -> bool:
        return turn in self.costs

    def ranked(self, question: str, weights: Weights, limit: int, now: float) -> list[str]:
        """Ids of the turns, best first."""
        search = MemorySearch(self.store, lambda _: default_calibration(), weights=weights, candidates=limit)
        found = search.search(question, Filters(), max_results=limit, min_similarity=None, now=now).found
        return [hit.record.id for hit in found.hits]


def recall(ids: list[str], conversation: Conversation, evidence: set[str]) -> list[float]:
    """The shares of the evidence, at each count and each budget."""
    spent = np.cumsum([conversation.costs[one] for one in ids])
    cuts = [*COUNTS, *(int((spent <= budget).sum()) for budget in BUDGETS)]
    return [len(evidence & set(ids[:cut])) / len(evidence) for cut in cuts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--candidates", type=int, default=64)
    options = parser.parse_args()
    if not options.data.is_file():
        print(f"{options.data} is not there: LoCoMo's licence keeps it out of the repository; nothing was measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        asked: list[tuple[Question, Conversation]] = []
        for number, dialogue in enumerate(decode(options.data.read_bytes(), type=list[Dialogue])):
            conversation = Conversation(dialogue, Path(folder) / str(number))
            for question in dialogue.qa:
                evidence = {turn for turn in question.turns() if turn in conversation}
                if question.category in CATEGORIES and evidence:
                    asked.append((question, conversation))
        print(f"{len(asked)} questions, {StaticEmbedder.default().name}, {options.candidates} candidates a side")
        print_table(asked, options.candidates)


def print_table(asked: list[tuple[Question, Conversation]], limit: int) -> None:
    heads = [*(f"R@{count}" for count in COUNTS), *(f"{budget} tok" for budget in BUDGETS), *CATEGORIES.values()]
    print(f"{'':36s}" + "".join(f"{head:>9s}" for head in heads) + "   (the last four: R@10 by category)")
    kinds = np.array([question.category for question, _ in asked])
    for name, weights in ROWS.items():
        rows = np.empty((len(asked), len(COUNTS) + len(BUDGETS)))
        started = time.perf_counter()
        for row, (question, conversation) in enumerate(asked):
            ids = conversation.ranked(question.question, weights, limit, NOW_S)
            rows[row] = recall(ids, conversation, {turn for turn in question.turns() if turn in conversation})
        spent = (time.perf_counter() - started) / len(asked) * 1e3
        by_kind = [rows[kinds == kind, COUNTS.index(10)].mean() for kind in CATEGORIES]
        print(f"{name:36s}" + "".join(f"{value:9.3f}" for value in [*rows.mean(axis=0), *by_kind]) + f"{spent:8.2f} ms")


if __name__ == "__main__":
    main()
