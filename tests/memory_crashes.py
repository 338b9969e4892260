"""Killing a process that writes to a memory, again and again, and looking at what is left.

python memory_crashes.py FOLDER SEED     the process that is killed: it prints what it has got acknowledged
"""

import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity
from caxton_llm.stores.sqlite_memory import SqliteMemory
from hashing_embedder import HashingEmbedder, by_words, fact

_LONGEST_S = 0.6
_PLACES = Path(__file__).parent


@dataclass
class Crashes:
    """A folder, what must be in it, and what was found wrong."""

    folder: Path
    random: random.Random
    there: dict[str, str] = field(default_factory=dict)
    """Word -> id of the entity that has it."""
    gone: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    acknowledged: int = 0
    rebuilt: int = 0

    def kill_once(self, number: int) -> None:
        """Start a writer, kill it at a random moment, every other time after its first write, and look at the store."""
        command = [sys.executable, __file__, str(self.folder), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            lines = [writer.stdout.readline()] if number % 2 else []
            time.sleep(self.random.uniform(0, _LONGEST_S))
            writer.kill()
            lines += writer.stdout.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):
                self._acknowledge(msgspec.json.decode(line, type=list[str]))
        self._look(number)

    def _acknowledge(self, line: list[str]) -> None:
        self.acknowledged += 1
        what, word, name = line
        if what == "put":
            self.there[word] = name
        elif what == "about to forget":
            # Killed before the acknowledgement it may be there or not.
            self.there.pop(word)
        else:
            self.gone.add(word)

    def _look(self, number: int) -> None:
        with SqliteMemory(self.folder, HashingEmbedder(), background=False) as store:
            self._compare(store, f"after kill {number}")
            self.rebuilt += bool(store.problems)
            store.catch_up()
            self._compare(store, f"after kill {number} and indexing")
            self.problems += [f"after kill {number}: {problem}" for problem in store.verify()]

    def _compare(self, store: SqliteMemory, when: str) -> None:
        records = {record.id: record for record in store.records()}
        for word, name in self.there.items():
            record = records.get(name)
            if not isinstance(record, Entity) or all(word not in seen.text for seen in record.observations):
                self.problems.append(f"{when}: {word} was acknowledged and is not there")
        words = self.random.sample(sorted(self.there), min(20, len(self.there)))
        for word in (*words, *list(self.there)[-5:]):
            if by_words(store, word, Filters()) != {self.there[word]}:
                self.problems.append(f"{when}: {word} is not found")
        for word in self.random.sample(sorted(self.gone), min(5, len(self.gone))):
            if by_words(store, word):
                self.problems.append(f"{when}: {word} was deleted and is found")


def say(lines: list[list[str]]) -> None:
    for line in lines:
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def write(folder: Path, seed: int) -> None:
    """Put, change and forget until somebody kills this process."""
    chance = random.Random(seed)
    say([["started"]])
    with SqliteMemory(folder, HashingEmbedder(), background=True) as store:
        names: list[tuple[str, str]] = []
        number = 0
        while True:
            number += 1
            word = f"s{seed}w{number}x"
            if names and chance.random() < 0.1:
                old, name = names.pop(chance.randrange(len(names)))
                say([["about to forget", old, name]])
                store.forget([name], tenant="")
                lines = [["forget", old, name]]
            elif chance.random() < 0.1:
                words = [f"{word}{part}y" for part in range(50)]
                written = store.put([fact(one, one) for one in words])
                lines = [["put", one, done.id] for one, done in zip(words, written, strict=True)]
            else:
                lines = [["put", word, store.put([fact(word, f"{word} is a fact")])[0].id]]
                names.append((word, lines[0][2]))
            say(lines)
            if chance.random() < 0.05:
                store.catch_up()
            if chance.random() < 0.01:
                store.rebuild()


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
