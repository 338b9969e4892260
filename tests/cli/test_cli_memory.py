"""`caxton memory` with the real command."""

import json
import signal
import sqlite3
from pathlib import Path

import pytest

from caxton_llm.memory_system import Memory
from caxton_llm.stores.sqlite_memory.schema import SCHEMA
from console import Terminal, run, started

ALICE = ("memory", "add", "Alice", "drinks green tea", "has a cat", "--type", "person", "--tag", "Taste")
MCP = "".join(
    json.dumps(line) + "\n"
    for line in (
        {"type": "entity", "name": "Alice", "entityType": "person", "observations": ["likes tea"]},
        {"type": "entity", "name": "Bob", "entityType": "person", "observations": []},
        {"type": "relation", "from": "Alice", "to": "Bob", "relationType": "knows"},
    )
)


def ok(*arguments: str, cwd: Path, stdin: str = "") -> str:
    done = run(*arguments, cwd=cwd, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(folder: Path, count: int = 3) -> Path:
    """A memory in the usual place."""
    place = folder / "caxton-memory"
    line = b'{"record": {"kind": "entity", "name": "n%d", "type": "fact", "observations": [{"text": "word%d"}]}}'
    with Memory.open(place) as memory:
        memory.load(line % (number, number) for number in range(count))
    return place


# -- writing and reading ----------------------------------------------------------------------------------------------------


def test_a_session_from_the_first_fact_to_its_end(tmp_path: Path) -> None:
    assert ok(*ALICE, cwd=tmp_path).startswith("created Alice (person), version 1\n")
    ok("memory", "add", "Bob", "likes chess", "--type", "person", cwd=tmp_path)
    ok("memory", "add", "--from", "ALICE", "--to", "bob", "--relation", "knows", "--strength", "0.5", cwd=tmp_path)
    more = ok("memory", "add", "alice", "Drinks green tea!", "plays the flute", cwd=tmp_path)
    assert more.startswith("merged Alice (person), version 2, 1 of the observations known already\n")

    header, _, first, *_ = ok("memory", "search", "green tea", "--explain", cwd=tmp_path).splitlines()
    assert header.split()[:3] == ["rank", "name", "similarity"]
    assert {"lexical", "dense", "score", "passage"} <= set(header.split())
    assert first.split()[:3] == ["1", "Alice", "(person)"]
    assert "drinks green tea has a cat" in first

    shown = ok("memory", "show", "alice", "--history", cwd=tmp_path)
    assert shown.count("  - drinks green tea\n") == 2
    assert shown.count("  - plays the flute\n") == 1
    assert "  Alice (person) --knows--> Bob (person)\n" in shown

    gone = ok("memory", "forget", "alice", "--yes", cwd=tmp_path)
    assert gone.startswith("deleted 2 records (1 of them relations, 1 earlier versions)")
    assert "no traces are left" in gone or "caxton memory purge" in gone
    assert "no traces" in ok("memory", "purge", cwd=tmp_path)
    stats = json.loads(ok("memory", "stats", "--json", cwd=tmp_path))
    assert (stats["entities"], stats["relations"], stats["versions"]) == (1, 0, 0)
    assert ok("memory", "verify", cwd=tmp_path) == "nothing is wrong\n"


def test_everything_that_was_said_of_an_entity_is_kept(tmp_path: Path) -> None:
    facts = ("--source", "a talk", "--confidence", "0.5", "--metadata", "age=30", "--metadata", "city=Oslo")
    placed = ("--tenant", "t", "--scope", "agent", "--agent", "a")
    (written,) = json.loads(ok(*ALICE, *facts, *placed, "--json", cwd=tmp_path))
    record = json.loads(ok("memory", "show", written["id"], "--tenant", "t", "--json", cwd=tmp_path))["record"]
    assert record["metadata"] == {"tags": ["Taste"], "age": 30, "city": "Oslo"}
    assert record["observations"][0] == {"text": "drinks green tea", "source": "a talk", "confidence": 0.5}
    assert (record["scope"], record["agent"], record["tenant"]) == ("agent", "a", "t")
    searched = ("memory", "search", "tea", "--tenant", "t", "--json", "--area", "taste", "--type", "person")
    assert json.loads(ok(*searched, "--agent", "b", cwd=tmp_path))["searched"] == 0
    assert json.loads(ok(*searched, "--agent", "a", "--scope", "agent", cwd=tmp_path))["searched"] == 1


def test_records_come_from_standard_input_too(tmp_path: Path) -> None:
    lines = (
        '{"kind": "turn", "conversation": "c", "index": 0, "text": "你好 ☕", "at": 86400}\n\n'
        '{"kind": "entity", "name": "北京", "observations": ["首都"]}\n'
    )
    assert ok("memory", "add", "-", cwd=tmp_path, stdin=lines) == "2 records: 2 created\n"
    found = json.loads(ok("memory", "search", "首都", "--json", "-n", "1", cwd=tmp_path))
    assert found["hits"][0]["record"]["name"] == "北京"
    day = ("memory", "search", "☕", "--json", "--kind", "turn", "--since", "1970-01-02")
    assert json.loads(ok(*day, "--until", "1970-01-02", cwd=tmp_path))["searched"] == 1
    assert json.loads(ok(*day, "--until", "1970-01-01T23:59:59Z", cwd=tmp_path))["searched"] == 0
    wrong = run("memory", "add", "-", cwd=tmp_path, stdin=lines + '{"kind": "entity", "nam": "x"}\n')
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "line 4: is not a record" in wrong.stderr


def test_a_name_that_several_have_is_asked_for_by_id(tmp_path: Path) -> None:
    ok(*ALICE, cwd=tmp_path)
    (boat,) = json.loads(ok("memory", "add", "alice", "floats", "--type", "boat", "--json", cwd=tmp_path))
    several = run("memory", "show", "Alice", cwd=tmp_path)
    assert several.returncode == 1
    assert boat["id"] in several.stderr
    assert "  - floats\n" in ok("memory", "show", boat["id"], cwd=tmp_path)
    nobody = run("memory", "forget", "Nobody", "--yes", cwd=tmp_path)
    assert nobody.returncode == 1
    assert "'Nobody'" in nobody.stderr


def test_a_search_that_finds_nothing_says_how_much_it_looked_at(tmp_path: Path) -> None:
    filled(tmp_path)
    for query in ("the of and", "zebra ☕"):
        done = run("memory", "search", query, "--min-similarity", "1", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "")
        assert "3 records searched" in done.stderr


# -- deleting ---------------------------------------------------------------------------------------------------------------


def test_deleting_asks_first_and_offers_to_purge(tmp_path: Path) -> None:
    filled(tmp_path)
    ok("memory", "rebuild", cwd=tmp_path)
    assert "--yes" in run("memory", "forget", "n0", cwd=tmp_path).stderr
    with Terminal("memory", "forget", "n0", cwd=tmp_path) as terminal:
        terminal.read_until("Delete n0 (fact) for good")
        terminal.send("n\r")
        assert terminal.wait() == 1
    traces = json.loads(ok("memory", "forget", "n0", "--yes", "--json", cwd=tmp_path))
    assert (traces["records"], traces["indexes"]) == (1, "purge needed")
    assert "caxton memory purge" in ok("memory", "forget", "n1", "--yes", cwd=tmp_path)
    clean = json.loads(ok("memory", "forget", "n2", "--yes", "--purge", "--json", cwd=tmp_path))
    assert clean["indexes"] == "clean"
    for file in (tmp_path / "caxton-memory").rglob("*"):
        assert not file.is_file() or b"word0" not in file.read_bytes()


def test_what_is_too_much_is_deleted(tmp_path: Path) -> None:
    filled(tmp_path)
    assert run("memory", "retain", "--yes", cwd=tmp_path).returncode == 2
    assert "deleted 1 records" in ok("memory", "retain", "--max-records", "2", "--yes", cwd=tmp_path)
    assert "deleted 0 records" in ok(
        "memory", "retain", "--max-age-days", "1", "--yes", "--kind", "entity", cwd=tmp_path
    )


# -- export and import ------------------------------------------------------------------------------------------------------


def test_an_export_that_is_imported_elsewhere_is_exported_there_again_line_by_line(tmp_path: Path) -> None:
    filled(tmp_path, 700)
    ok("memory", "add", "n5", "is lucky", cwd=tmp_path)
    done = run("memory", "export", "--output", "all.jsonl", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "700 records exported to all.jsonl\n")
    lines = (tmp_path / "all.jsonl").read_text()
    assert ok("memory", "export", cwd=tmp_path) == lines
    other = ("--path", "other")
    assert "700 created" in ok("memory", "import", "all.jsonl", *other, cwd=tmp_path)
    assert ok("memory", "export", *other, cwd=tmp_path) == lines
    assert "0 created, 0 changed, 700 there already" in ok("memory", "import", "-", *other, cwd=tmp_path, stdin=lines)
    assert not list(tmp_path.glob("*.part"))
    assert "observations_kept" not in ok("memory", "export", "--no-history", cwd=tmp_path)


@pytest.mark.parametrize("form", [(), ("--format", "mcp")])
def test_an_mcp_memory_file_is_imported(tmp_path: Path, form: tuple[str, ...]) -> None:
    (tmp_path / "memory.jsonl").write_text(MCP)
    assert "3 lines: 3 created" in ok("memory", "import", "memory.jsonl", *form, cwd=tmp_path)
    assert "Alice (person) --knows--> Bob (person)" in ok("memory", "show", "alice", cwd=tmp_path)


def test_a_bad_line_stops_an_import_or_is_passed_over(tmp_path: Path) -> None:
    bad = MCP + "nonsense\n" + MCP.replace("Alice", "Carol")
    stopped = run("memory", "import", "-", cwd=tmp_path, stdin=bad)
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert "line 4" in stopped.stderr
    assert "is safe" in stopped.stderr
    passed_over = run("memory", "import", "-", "--keep-going", cwd=tmp_path, stdin=bad)
    assert passed_over.returncode == 1
    assert passed_over.stdout.startswith("7 lines: ")
    assert "warning: line 4" in passed_over.stderr
    assert json.loads(ok("memory", "stats", "--json", cwd=tmp_path))["entities"] == 3


def test_an_import_that_is_killed_is_begun_again_and_nothing_is_there_twice(tmp_path: Path) -> None:
    filled(tmp_path / "from", 3000)
    lines = ok("memory", "export", cwd=tmp_path / "from").encode().splitlines(keepends=True)
    (tmp_path / "caxton-memory").mkdir()
    importing = started("memory", "import", "/dev/stdin", cwd=tmp_path, piped=True)
    assert importing.stdin is not None
    importing.stdin.write(b"".join(lines[:2000]))
    with Memory.open(tmp_path / "caxton-memory") as memory:
        while memory.stats().entities < 500:
            assert importing.poll() is None
    importing.send_signal(signal.SIGKILL)
    importing.communicate(timeout=20)
    done = ok("memory", "import", "-", cwd=tmp_path, stdin=b"".join(lines).decode())
    assert done.startswith("3000 lines: ")
    assert "0 changed" in done
    assert ok("memory", "export", cwd=tmp_path).encode().splitlines(keepends=True) == lines
    assert ok("memory", "verify", cwd=tmp_path) == "nothing is wrong\n"


def test_a_long_import_shows_its_progress_on_a_terminal(tmp_path: Path) -> None:
    filled(tmp_path / "from", 3000)
    ok("memory", "export", "-o", str(tmp_path / "all.jsonl"), cwd=tmp_path / "from")
    with Terminal("memory", "import", "all.jsonl", cwd=tmp_path) as terminal:
        terminal.read_until("importing")
        assert terminal.wait() == 0
    assert "bytes" in terminal.shown
    assert "3000 created" in terminal.shown


# -- failures ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("stats",),
        ("search", "x"),
        ("show", "x"),
        ("forget", "x", "--yes"),
        ("export",),
        ("verify",),
        ("rebuild",),
        ("purge",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_memory_that_is_not_there_is_not_made_but_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run("memory", *arguments, "--path", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no memory in nowhere" in done.stderr
    assert "caxton memory add" in done.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("search", "x", "--scope", "galaxy"), "galaxy"),
        (("search", "x", "--kind", "planet"), "planet"),
        (("search", "x", "--since", "yesterday"), "--since"),
        (("search", "x", "-n", "0"), "--max-results"),
        (("search", "x", "--min-similarity", "2"), "--min-similarity"),
        (("add",), "NAME"),
        (("add", "x", "--from", "y"), "--relation"),
        (("add", "x", "--metadata", "y"), "KEY=VALUE"),
        (("add", "x", "--scope", "galaxy"), "galaxy"),
        (("import", "missing.jsonl"), "missing.jsonl"),
        (("import", "."), "cannot be read"),
        (("export", "-o", "missing/all.jsonl"), "cannot be written"),
    ],
)
def test_a_mistake_of_the_command_line_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    if arguments[0] != "import":
        filled(tmp_path)
    done = run("memory", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    if arguments[0] == "import":
        assert not (tmp_path / "caxton-memory").exists()


def test_a_record_that_cannot_be_is_exit_code_1(tmp_path: Path) -> None:
    for arguments in (("add", " "), ("add", "x" * 2000), ("add", "x", "--scope", "agent"), ("search", "x" * 100_001)):
        done = run("memory", *arguments, "--path", str(filled(tmp_path)), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")


def test_a_damaged_index_does_not_stop_a_search_and_is_made_anew(tmp_path: Path) -> None:
    place = filled(tmp_path)
    ok("memory", "rebuild", cwd=tmp_path)
    for file in (place / "index").rglob("*"):
        if file.is_file() and file.suffix in (".store", ".idx", ".term"):
            file.write_bytes(b"broken" + file.read_bytes()[6:])
    wrong = run("memory", "verify", cwd=tmp_path)
    assert wrong.returncode == 1
    assert "damaged" in wrong.stdout
    assert "caxton memory rebuild" in wrong.stderr
    done = run("memory", "search", "word1", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["hits"][0]["record"]["name"] == "n1"
    assert "made anew; no record is lost" in done.stderr
    assert run("memory", "search", "word1", cwd=tmp_path).stderr == ""
    assert ok("memory", "verify", cwd=tmp_path) == "nothing is wrong\n"


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    place = filled(tmp_path)
    with sqlite3.connect(place / "memory.db") as db:
        db.execute(f"pragma user_version = {SCHEMA + 1}")
    db.close()
    done = run("memory", "stats", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "newer version" in done.stderr


def test_something_that_is_no_memory_is_told_and_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "caxton-memory"
    place.mkdir()
    (place / "memory.db").write_bytes(b"this is no database" * 100)
    done = run("memory", "stats", cwd=tmp_path)
    assert done.returncode == 1
    assert "backup" in done.stderr
    assert (place / "memory.db").read_bytes().startswith(b"this is no database")


def test_a_full_disk_is_told_and_leaves_no_half_export(tmp_path: Path) -> None:
    filled(tmp_path)
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "all.jsonl.part").symlink_to("/dev/full")
    done = run("memory", "export", "-o", "all.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert not (tmp_path / "all.jsonl").exists()


def test_an_addition_to_one_of_several_entities_of_a_name_needs_the_type(tmp_path: Path) -> None:
    for type_ in ("person", "boat"):
        assert run("memory", "add", "Alice", f"is a {type_}", "--type", type_, cwd=tmp_path).returncode == 0
    done = run("memory", "add", "ALICE", "is new", cwd=tmp_path)
    assert done.returncode != 0
    assert "boat, person" in done.stderr
    assert run("memory", "add", "ALICE", "is new", "--type", "boat", cwd=tmp_path).returncode == 0
