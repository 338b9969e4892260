"""`caxton demo`: whole with the real command, live against fake providers, and what it does when things go wrong."""

import asyncio
import http.client
import signal
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import typer

from caxton_llm.cli.demo.clients import AnthropicClient, OpenAiClient
from caxton_llm.cli.demo.live import live_plan
from caxton_llm.cli.demo.run import DemoOptions, run_demo
from caxton_llm.cli.demo.tour import Tour
from caxton_llm.cli.demo.view import DemoView
from caxton_llm.cli.screen import Screen
from caxton_llm.errors import ConfigurationError, LlmError, StreamInterrupted
from caxton_llm.protocols import Origin, WireResponse
from caxton_llm.testing import ScriptedTransport
from console import Terminal, run, started
from fakes import FakeOllama
from serving import free_port

REQUESTS = ("plain", "streamed", "tool call", "tool result")
LIVE = DemoOptions(live=True, keep=False, port=0)
NOWHERE = Origin("http", "127.0.0.1", 1)


# -- offline ----------------------------------------------------------------------------------------------------------------


def test_the_gateway_of_the_demonstration_listens_on_the_port_that_is_asked_for(tmp_path: Path) -> None:
    port = free_port()
    done = run("demo", "--port", str(port), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"http://127.0.0.1:{port}" in done.stdout


def test_the_demonstration_shows_every_kind_of_request_in_both_dialects_and_ends_by_itself(tmp_path: Path) -> None:
    done = run("demo", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert out.count("POST /v1/chat/completions\n") == out.count("POST /v1/messages\n") == 4
    assert out.count('← call get_weather({"city":"Lisbon"})') == 2
    assert out.count('← get_weather answered: {"celsius": 21, "sky": "clear"}') == 2
    assert out.count("x-caxton-provider: builtin") == 8
    table = [line.split() for line in out.splitlines() if line.startswith(("OpenAI  ", "Anthropic  "))]
    assert [row[0] for row in table] == ["OpenAI"] * 4 + ["Anthropic"] * 4
    assert "All 8 exchanges went as they should." in out
    assert 'OpenAI(base_url="http://127.0.0.1:8787/v1"' in out
    assert "\x1b" not in out


def test_an_agent_is_shown_with_its_context_three_renderings_its_tools_and_its_answer(tmp_path: Path) -> None:
    done = run("demo", cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    context, _, rest = done.stdout.partition("\nAn agent: ")[2].partition("\nThe same context")
    renderings, _, work = rest.partition("\nThe agent works\n")
    assert "Reporter, for report-generation, asked by DataProcessor" in context
    assert "limited by the agent's budget" in context
    assert "Standard quarterly reports include revenue trends" in context.partition("Left out: ")[0]
    assert "The canteen serves soup on Mondays" in context.partition("Left out: ")[2]
    assert "is contained in another" in context
    assert "missing" not in context
    for kind in ("openai", "anthropic", "ollama"):
        assert f"\n{kind}:\n{{\n" in renderings
    assert renderings.count("Standard quarterly reports include revenue trends") == 3
    assert renderings.count('"name": "generate_pdf_report"') == 3
    progress = [line.split()[1:3] for line in work.splitlines() if line.startswith("→ ")]
    expected = [[tool, state] for tool in ("chart_creator", "generate_pdf_report") for state in ("started", "done")]
    assert [one for one in progress if one[1] != "running"] == expected
    assert "← The quarterly report is ready" in work
    assert list(tmp_path.iterdir()) == []  # what was kept meanwhile is removed


def test_on_a_terminal_the_streamed_answer_comes_piece_by_piece_and_in_colour(tmp_path: Path) -> None:
    with Terminal("demo", cwd=tmp_path, env={"COLORTERM": "truecolor"}) as terminal:
        terminal.read_until("streamed")
        shown = terminal.read_until("← You said")
        assert "provider received" not in shown.partition("← ")[2]
        assert terminal.wait() == 0
    assert "\x1b[" in terminal.shown


def test_keep_leaves_the_gateway_running_until_ctrl_c(tmp_path: Path) -> None:
    with started("demo", "--keep", cwd=tmp_path) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not (lines and lines[-1].startswith("The gateway runs until")):
            lines.append(process.stdout.readline().decode())
            assert lines[-1], "it ended"
        address = next(line for line in lines if "listens at" in line).split("listens at ")[1].split()[0].rstrip(".")
        with closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)) as connection:
            connection.request("GET", "/health/live")
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out.endswith(b"stopped\n")
    assert err == b""
    assert any(f'OpenAI(base_url="{address}/v1"' in line for line in lines)


# -- live -------------------------------------------------------------------------------------------------------------------


async def test_live_takes_a_model_with_tools_from_ollama_and_shows_everything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with FakeOllama() as server:
        parts = urlsplit(server.base_url)
        ollama = Origin("http", parts.hostname or "", parts.port or 0)
        await asyncio.to_thread(run_demo, LIVE, Screen(), environ={}, ollama=ollama)
    out = capsys.readouterr().out
    assert f"Live with Ollama at {ollama}, model " in out
    assert "costs nothing" in out
    assert "All 8 exchanges went as they should." in out


async def test_live_without_any_provider_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY.*ANTHROPIC_API_KEY.*AZURE_OPENAI_ENDPOINT.*Ollama"):
        await live_plan({}, ollama=NOWHERE)


@pytest.mark.parametrize(("provider", "variable"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")])
async def test_live_says_which_key_and_what_it_costs_at_most(provider: str, variable: str) -> None:
    plan = await live_plan({variable: "sk-do-not-show"}, ollama=NOWHERE)
    assert plan.costs
    assert plan.about.startswith(f"{provider} with the key in {variable}, model ")
    assert plan.cost_bound().startswith("It costs at most $0.")
    assert "sk-do-not-show" not in f"{plan.about} {plan.configuration}"


async def test_live_with_an_azure_deployment_says_that_its_price_is_not_known() -> None:
    names = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT")
    plan = await live_plan(dict.fromkeys(names, "x"), ollama=NOWHERE)
    assert plan.configuration["llm"]["deployment_name"] == "${AZURE_OPENAI_DEPLOYMENT}"
    assert "price is not known" in plan.cost_bound()


async def test_a_live_demonstration_that_goes_wrong_ends_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeOllama() as server:
        server.fail("authentication", times=None)
        parts = urlsplit(server.base_url)
        ollama = Origin("http", parts.hostname or "", parts.port or 0)
        with pytest.raises(typer.Exit) as ended:
            await asyncio.to_thread(run_demo, LIVE, Screen(), environ={}, ollama=ollama)
    assert ended.value.exit_code == 1
    assert "6 of 6 exchanges failed" in capsys.readouterr().out


# -- what goes wrong --------------------------------------------------------------------------------------------------------


def answered(body: object, status: int = 200) -> WireResponse:
    return WireResponse(status=status, headers={"x-caxton-provider": "p"}, body=msgspec.json.encode(body))


BROKEN: dict[str, WireResponse | LlmError] = {
    "no connection": StreamInterrupted("the connection was closed"),
    "an error": answered({"error": {"message": "no such model"}}, status=404),
    "HTML": WireResponse(status=200, headers={}, body=b"<html>"),
    "another shape": answered({"choices": []}),
    "no text": answered({"choices": [{"message": {"content": None}}], "usage": {}}),
    "no usage": answered({"choices": [{"message": {"content": "Hello"}}]}),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_an_exchange_that_goes_wrong_is_a_failure_and_the_tour_goes_on(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = BROKEN[what]
    tour = Tour("http://127.0.0.1:1", ScriptedTransport([broken, broken, broken]), 10, DemoView(Screen()))
    await tour.visit(OpenAiClient())
    assert [exchange.what for exchange in tour.exchanges] == ["plain", "streamed", "tool call"]
    assert all(exchange.failure for exchange in tour.exchanges)
    assert "failed: " in capsys.readouterr().out


async def test_a_stream_that_ends_early_or_with_an_error_is_a_failure() -> None:
    begun = b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": {"text": "Hel"}}\n\n'
    failed = begun + b'event: error\ndata: {"type": "error", "error": {"message": "overloaded"}}\n\n'
    whole = answered({"content": [{"type": "text", "text": "x"}], "usage": {"input_tokens": 1, "output_tokens": 1}})
    reasons = []
    for body in (begun, failed):
        stream = WireResponse(status=200, headers={}, body=body)
        tour = Tour("http://127.0.0.1:1", ScriptedTransport([whole, stream, whole]), 10, DemoView(Screen()))
        await tour.visit(AnthropicClient())
        reasons.append(tour.exchanges[1].failure)
        assert tour.exchanges[2].failure == "the model did not call the tool"
    assert "ended before the answer did" in reasons[0]
    assert "overloaded" in reasons[1]
