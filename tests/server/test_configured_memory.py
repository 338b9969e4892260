"""The `memory` block: what the gateway and the commands make of it."""

import json
import time
from pathlib import Path

import httpx
import pytest

from caxton_llm.config.load import load_file
from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory_system import Memory
from caxton_llm.memory_upkeep import Upkeep
from caxton_llm.server.serve import open_configured_memory
from console import run
from serving import running_gateway

CONFIGURATION = """
llm:
  provider: builtin
memory:
  path: ./kept
  search:
    max_results: 1
    min_similarity: 0.5
    weights:
      recency: 0
"""
WAIT_S = 20.0


def entity(name: str, text: str) -> dict[str, object]:
    return {"name": name, "observations": [{"text": text}]}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_gateway_serves_the_configured_memory_with_the_configured_search(tmp_path: Path, workers: int) -> None:
    with running_gateway(tmp_path, CONFIGURATION, "--workers", str(workers)) as url:
        facts = [entity("Tea", "Ann likes green tea"), entity("Coffee", "Ben likes coffee in the morning")]
        httpx.post(f"{url}/api/v1/memory/entities", json=facts).raise_for_status()
        for _ in range(2 * workers):
            found = httpx.post(f"{url}/api/v1/memory/search", json={"query": "who likes green tea?"}).json()
            assert [hit["record"]["name"] for hit in found["hits"]] == ["Tea"]
            assert found["hits"][0]["reasons"]["recency"] == 0
    with Memory.open(tmp_path / "kept") as memory:
        assert memory.stats().entities == 2


def test_the_commands_use_the_memory_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "caxton.yaml").write_text(CONFIGURATION, encoding="utf-8")
    added = run("memory", "add", "Tea", "Ann likes green tea", cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    assert (tmp_path / "kept" / "memory.db").is_file()
    found = run("memory", "search", "green tea", "--json", cwd=tmp_path)
    assert json.loads(found.stdout)["hits"][0]["record"]["name"] == "Tea"


def test_a_named_configuration_without_a_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("llm:\n  provider: builtin\n", encoding="utf-8")
    done = run("memory", "stats", "--config", "other.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "has no `memory` block" in done.stderr


def test_a_memory_that_cannot_be_opened_ends_the_gateway_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "caxton.yaml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "kept").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(MemoryStoreError, match="kept"):
        open_configured_memory(load_file(tmp_path / "caxton.yaml"))
    done = run("serve", "--port", "0", cwd=tmp_path)
    assert done.returncode != 0
    assert "kept" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_more_than_may_stay_is_deleted_in_the_background(tmp_path: Path) -> None:
    (tmp_path / "caxton.yaml").write_text(
        "llm:\n  provider: builtin\nmemory:\n  retention:\n    max_records: 3\n", encoding="utf-8"
    )
    folder = tmp_path / "caxton-memory"
    with Memory.open(folder) as memory:
        memory.add([Entity(name=f"n{n}", observations=(Observation(f"fact {n}"),)) for n in range(10)])
    configured = open_configured_memory(load_file(tmp_path / "caxton.yaml"))
    assert configured is not None
    with configured:
        until = time.monotonic() + WAIT_S
        while configured.stats().entities > 3:
            assert time.monotonic() < until
        assert configured.problems == []


def test_commands_delete_nothing_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "caxton.yaml").write_text(
        "llm:\n  provider: builtin\nmemory:\n  retention:\n    max_records: 2\n", encoding="utf-8"
    )
    with Memory.open(tmp_path / "caxton-memory") as memory:
        memory.add([Entity(name=f"n{n}", observations=(Observation(f"fact {n}"),)) for n in range(4)])
    for command in ("verify", "stats"):
        assert run("memory", command, cwd=tmp_path).returncode == 0
    with Memory.open(tmp_path / "caxton-memory") as memory:
        assert memory.stats().entities == 4


def test_all_weights_can_be_configured(tmp_path: Path) -> None:
    (tmp_path / "caxton.yaml").write_text(
        """
llm:
  provider: builtin
memory:
  search:
    weights:
      neighbours: [0.5]
      late_neighbours: []
      named: 0
      question: 0.25
      recency_half_life_days: 1
""",
        encoding="utf-8",
    )
    memory = load_file(tmp_path / "caxton.yaml").memory
    assert memory is not None
    assert memory.weights == {
        "neighbours": (0.5,),
        "late_neighbours": (),
        "named": 0,
        "question": 0.25,
        "recency_half_life_s": 86_400.0,
    }
    with Memory.from_configuration(memory, background=False) as opened:
        opened.add([Entity(name="Tea", observations=(Observation("Ann likes green tea"),))])
        assert opened.search("tea").hits[0].reasons.named == 0


def test_upkeep_that_fails_says_so_and_goes_on() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryStoreError("the disk is full")

    upkeep = Upkeep(work, every_s=0.001)
    until = time.monotonic() + WAIT_S
    seen = False
    while len(calls) < 3 or upkeep.problem is not None:
        seen = seen or upkeep.problem is not None
        assert time.monotonic() < until
    upkeep.close()
    assert upkeep.problem is None
