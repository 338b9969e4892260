"""Evidence recall on LoCoMo: how much of what answers a question is among the turns that the memory selects.

    python benchmarks/locomo.py [--data ../shared/locomo/dev.json] [--candidates 200]

Each row adds one ingredient to the row above. For every question the two indexes give `--candidates` turns each and these
bring two neighbours on either side; they are ranked, and the share of the question's evidence among the first 5, 10, 25, 50
or within 500, 1,000, 2,000 tokens (characters / 4 + 4) is averaged over the questions of categories 1 to 4. The data is
CC BY-NC 4.0: for measuring only. Without the file there is nothing to measure, and the program says so.
"""

import argparse
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tantivy
from msgspec import Struct, convert
from msgspec.json import decode
from msgspec.structs import replace

from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.late_interaction import inverse_frequency, late_interaction
from caxton_llm.memory.query_dates import from_then, periods_in
from caxton_llm.memory.query_words import content_words, is_question, names_in
from caxton_llm.memory.scoring import Candidates, Weights, score
from caxton_llm.types import Json

DATA = Path(__file__).parents[1] / "../shared/locomo/dev.json"
COUNTS = (5, 10, 25, 50)
BUDGETS = (500, 1000, 2000)
CATEGORIES = {1: "several", 2: "time", 3: "open", 4: "single"}

NOTHING = Weights(
    lexical=0, dense=0, late=0, neighbours=(), late_neighbours=(), named=0, dated=0, question=0, recency=0, confidence=0
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


class Turn(Struct):
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

    def sessions(self) -> list[tuple[int, Turn]]:
        """All turns in order, each with the number of its session."""
        numbers = sorted(int(key[8:]) for key in self.conversation if re.fullmatch(r"session_\d+", key))
        return [(n, turn) for n in numbers for turn in convert(self.conversation[f"session_{n}"], list[Turn])]


class Conversation:
    """The turns of one conversation, indexed as a store would."""

    def __init__(self, dialogue: Dialogue, embedder: StaticEmbedder) -> None:
        turns = dialogue.sessions()
        self.embedder = embedder
        self.ids = [turn.dia_id for _, turn in turns]
        self.texts = [f"{turn.speaker}: {turn.said}" for _, turn in turns]
        self.costs = np.array([len(text) / 4 + 4 for text in self.texts])
        self.session = np.array([number for number, _ in turns])
        self.times_s = np.array([dialogue.time_s(number) for number, _ in turns])
        self.position = np.arange(len(turns))
        self.speaker = np.array([turn.speaker for _, turn in turns])
        self.asks = np.array([is_question(turn.text) for _, turn in turns])
        self.vectors = embedder.embed(self.texts)
        self.tokens = [np.unique(embedder.tokens(text)) for text in self.texts]
        holding = np.bincount(np.concatenate(self.tokens), minlength=embedder.vocabulary_size)
        self.rarity = inverse_frequency(holding, len(turns))
        self.lexicon = Lexicon(self.texts)

    def candidates(self, query: str, limit: int) -> tuple[np.ndarray, Candidates]:
        """Indexes of the candidate turns, and their columns."""
        lexical = self.lexicon.scores(query)
        dense = self.vectors @ self.embedder.embed([query])[0]
        named = names_in(query, set(self.speaker))
        best = np.concatenate([np.argsort(-lexical)[:limit], np.argsort(-dense)[:limit]])
        best = best[(lexical[best] > 0) | (np.arange(len(best)) >= limit)]
        around = np.unique(best[:, None] + np.arange(-2, 3))
        chosen = around[(around >= 0) & (around < len(self.ids))]
        tokens = self.embedder.tokens(content_words(query))
        return chosen, Candidates(
            lexical=lexical[chosen],
            dense=dense[chosen],
            matches=late_interaction(tokens, self.rarity[tokens], [self.tokens[i] for i in chosen], self.embedder),
            conversation=self.session[chosen],
            position=self.position[chosen],
            named=np.isin(self.speaker[chosen], list(named)) if len(named) == 1 else None,
            dated=from_then(periods_in(query), self.times_s[chosen]),
            asks=self.asks[chosen],
        )


class Lexicon:
    """BM25 of tantivy: English stems, stop words out."""

    def __init__(self, texts: list[str]) -> None:
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
        builder = builder.filter(tantivy.Filter.stopword("english")).filter(tantivy.Filter.stemmer("english"))
        self.analyzer = builder.build()
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("text", tokenizer_name="memory")
        schema.add_integer_field("row", stored=True)
        self.schema = schema.build()
        self.index = tantivy.Index(self.schema)
        self.index.register_tokenizer("memory", self.analyzer)
        writer = self.index.writer(num_threads=1)
        for row, text in enumerate(texts):
            writer.add_document(tantivy.Document(text=text, row=row))
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()
        self.count = len(texts)

    def scores(self, query: str) -> np.ndarray:
        terms = [tantivy.Query.term_query(self.schema, "text", term) for term in set(self.analyzer.analyze(query))]
        result = np.zeros(self.count, np.float32)
        if terms:
            wanted = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
            searcher = self.index.searcher()
            for value, address in searcher.search(wanted, limit=self.count).hits:
                result[searcher.doc(address)["row"][0]] = value
        return result


def recall(order: np.ndarray, conversation: Conversation, evidence: set[str]) -> list[float]:
    """The shares of the evidence, at each count and each budget."""
    ids = [conversation.ids[index] for index in order]
    spent = np.cumsum(conversation.costs[order])
    cuts = [*COUNTS, *(int((spent <= budget).sum()) for budget in BUDGETS)]
    return [len(evidence & set(ids[:cut])) / len(evidence) for cut in cuts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--candidates", type=int, default=200)
    options = parser.parse_args()
    if not options.data.is_file():
        print(f"{options.data} is not there: LoCoMo's licence keeps it out of the repository; nothing was measured")
        return
    embedder = StaticEmbedder.default()
    asked: list[tuple[Question, Conversation, np.ndarray, Candidates]] = []
    started = time.perf_counter()
    for dialogue in decode(options.data.read_bytes(), type=list[Dialogue]):
        conversation = Conversation(dialogue, embedder)
        asked.extend(
            (question, conversation, *conversation.candidates(question.question, options.candidates))
            for question in dialogue.qa
            if question.category in CATEGORIES and question.turns() & set(conversation.ids)
        )
    print(f"{len(asked)} questions, {embedder.name}, {time.perf_counter() - started:.1f} s to index and to look up")
    print_table(asked)


def print_table(asked: list[tuple[Question, Conversation, np.ndarray, Candidates]]) -> None:
    heads = [*(f"R@{count}" for count in COUNTS), *(f"{budget} tok" for budget in BUDGETS), *CATEGORIES.values()]
    print(f"{'':36s}" + "".join(f"{head:>9s}" for head in heads) + "   (the last four: R@10 by category)")
    for name, weights in ROWS.items():
        started = time.perf_counter()
        orders = [score(candidates, weights).order() for _, _, _, candidates in asked]
        spent = (time.perf_counter() - started) / len(asked) * 1e6
        rows = np.array(
            [
                recall(chosen[order], conversation, question.turns() & set(conversation.ids))
                for (question, conversation, chosen, _), order in zip(asked, orders, strict=True)
            ]
        )
        kinds = np.array([question.category for question, *_ in asked])
        by_kind = [rows[kinds == kind, COUNTS.index(10)].mean() for kind in CATEGORIES]
        print(f"{name:36s}" + "".join(f"{value:9.3f}" for value in [*rows.mean(axis=0), *by_kind]) + f"{spent:8.0f} us")


if __name__ == "__main__":
    main()
