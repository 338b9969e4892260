"""Health checks against providers on loopback: what is asked, what it costs, and what it does to the breaker."""

import asyncio
from collections.abc import Mapping

from caxton_llm.assembly import Assembly, assemble
from caxton_llm.caxton import Caxton
from caxton_llm.config.load import load_mapping
from caxton_llm.config.schema import HealthCheckBlock
from caxton_llm.dispatch.target import TargetState
from caxton_llm.errors import Overloaded
from caxton_llm.health_checks import HealthChecks
from caxton_llm.observers.record import Observer
from caxton_llm.sync import SyncCaxton
from caxton_llm.target_status import describe_target
from caxton_llm.testing import FakeClock
from caxton_llm.types import Json
from fakes import FakeOpenAI

BOUND_S = 20.0
FREE = HealthCheckBlock(timeout_seconds=5.0)
PROMPT = HealthCheckBlock(timeout_seconds=5.0, test_prompt="Say OK")


class Checked(Observer):
    """Keeps what it hears of checks; `wait` returns when there were so many."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None, float | None]] = []
        self._more = asyncio.Event()

    def checked(self, target: str, error_kind: str | None, seconds: float, cost_usd: float | None) -> None:
        self.seen.append((target, error_kind, cost_usd))
        self._more.set()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(BOUND_S):
            while len(self.seen) < count:
                self._more.clear()
                await self._more.wait()


def entry(fake: FakeOpenAI, **more: Json) -> dict[str, Json]:
    return {
        "provider": "openai",
        "name": "main",
        "model": "gpt-4o",
        "api_key": fake.api_key,
        "base_url": fake.base_url,
        **more,
    }


class World:
    """One target with a clock of its own, and the checks of it."""

    def __init__(self, settings: Mapping[str, Json]) -> None:
        self.clock = FakeClock(1000.0)
        self.observer = Checked()
        configuration = load_mapping({"llm": {"providers": [settings]}}, {})
        self.assembly: Assembly = assemble(configuration, [self.observer], {}, clock=self.clock)
        self.checks = HealthChecks([], observers=[self.observer], clock=self.clock, wall=lambda: 1_770_000_000.0)

    @property
    def state(self) -> TargetState:
        return self.assembly.states[0]

    def break_it(self) -> None:
        for _ in range(5):
            self.state.breaker.failed(self.clock(), trial=0)
        assert self.state.breaker.state == "open"

    async def check(self, block: HealthCheckBlock) -> str | None:
        async with asyncio.timeout(BOUND_S):
            return (await self.checks.check(self.state, block)).error


async def test_without_a_prompt_the_free_endpoint_is_asked_and_costs_nothing() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        assert await world.check(FREE) is None
        assert [(request.method, request.path) for request in fake.requests] == [("GET", "/v1/models")]
        assert world.observer.seen == [("main", None, 0.0)]
        await world.assembly.aclose()


async def test_a_prompt_is_a_real_completion_with_a_small_limit_whose_cost_is_told() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        assert await world.check(PROMPT) is None
        body = fake.last_request.json
        assert body["messages"] == [{"role": "user", "content": "Say OK"}]
        assert body.get("max_completion_tokens") == 64
        ((_, _, cost),) = world.observer.seen
        assert cost is not None
        assert cost > 0.0
        await world.assembly.aclose()


async def test_failed_checks_open_the_breaker_and_are_counted_in_a_row() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake, circuit_breaker={"failure_threshold": 3}))
        for count in (1, 2, 3):
            fake.fail("overloaded")
            assert await world.check(PROMPT) == "overloaded"
            assert world.state.check is not None
            assert world.state.check.failed_in_a_row == count
        assert world.state.breaker.state == "open"
        assert world.state.failures == 0
        await world.assembly.aclose()


async def test_a_limited_check_says_nothing_about_the_target() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake, circuit_breaker={"failure_threshold": 1}))
        fake.fail("rate_limited")
        assert await world.check(PROMPT) == "rate_limited"
        assert world.state.check is not None
        assert (world.state.check.failed_in_a_row, world.state.breaker.state) == (0, "closed")
        await world.assembly.aclose()


async def test_a_check_that_takes_too_long_fails() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        fake.reply("late").hold()
        assert await world.check(HealthCheckBlock(timeout_seconds=0.05, test_prompt="Say OK")) == "first_byte_timeout"
        await world.assembly.aclose()


async def test_nobody_there_is_a_failed_check() -> None:
    async with FakeOpenAI() as fake:
        settings = entry(fake)
    world = World(settings)
    assert await world.check(FREE) == "connect_failed"
    await world.assembly.aclose()


async def test_before_the_cool_down_a_good_check_changes_nothing_and_after_it_closes_the_breaker() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        world.break_it()
        states: list[str] = []
        for seconds in (0.0, 15.0):
            world.clock.advance(seconds)
            assert await world.check(FREE) is None
            states.append(world.state.breaker.state)
        assert states == ["open", "closed"]
        assert world.state.breaker.share(world.clock()) < 1.0
        await world.assembly.aclose()


async def test_a_failed_trial_opens_the_breaker_again() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        world.break_it()
        world.clock.advance(15.0)
        fake.fail("overloaded")
        assert await world.check(PROMPT) == "overloaded"
        assert world.state.breaker.state == "open"
        assert world.state.breaker.opened_at == world.clock()
        await world.assembly.aclose()


async def test_a_cancelled_check_gives_its_trial_back() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        world.break_it()
        world.clock.advance(15.0)
        held = fake.reply("late").hold()
        checking = asyncio.create_task(world.check(PROMPT))
        await held.wait_reached()
        assert world.state.breaker.share(world.clock()) == 0.0
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        assert world.state.breaker.share(world.clock()) == 1.0
        await world.assembly.aclose()


async def test_an_endpoint_that_answers_does_not_make_up_for_requests_that_fail() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        for _ in range(4):
            world.state.breaker.failed(world.clock(), trial=0)
            assert await world.check(FREE) is None
        world.state.breaker.failed(world.clock(), trial=0)
        assert world.state.breaker.state == "open"
        await world.assembly.aclose()


async def test_a_refused_key_rests_and_the_next_check_takes_another() -> None:
    async with FakeOpenAI() as fake:
        settings = entry(fake)
        del settings["api_key"]
        world = World(settings | {"api_keys": ["sk-wrong", fake.api_key]})
        assert await world.check(FREE) == "authentication"
        assert world.state.keys.resting(world.clock()) == 1
        assert await world.check(FREE) is None
        assert await world.check(FREE) is None
        await world.assembly.aclose()


async def test_the_first_check_is_spread_over_the_interval_and_the_next_come_with_little_jitter() -> None:
    async with FakeOpenAI() as fake:
        world = World(entry(fake))
        numbers = iter([0.25, 1.0, 0.0, 0.5])
        block = HealthCheckBlock(interval_seconds=100.0)
        checks = HealthChecks(
            [(world.state, block)],
            observers=[world.observer],
            clock=world.clock,
            sleep=world.clock.sleep,
            jitter=lambda: next(numbers, 0.5),
        )
        checks.start()
        await world.observer.wait(4)
        await checks.aclose()
        await world.assembly.aclose()
    assert [round(seconds, 6) for seconds in world.clock.slept[:4]] == [25.0, 110.0, 90.0, 100.0]


async def test_checks_run_while_the_library_is_open_and_end_with_it() -> None:
    async with FakeOpenAI() as fake:
        check = {"interval_seconds": 0.01, "timeout_seconds": 5}
        observer = Checked()
        configuration = {"llm": {"providers": [entry(fake, health_check=check)]}}
        async with Caxton.from_dict(configuration, environ={}, observers=[observer]) as caxton:
            await observer.wait(2)
            (status,) = caxton.provider_states()
            assert status.state == "up"
            assert status.health_check is not None
            assert status.health_check.error is None
        assert {task.get_name() for task in asyncio.all_tasks() if "caxton" in task.get_name()} == set()


async def test_a_library_that_is_not_entered_checks_nothing() -> None:
    async with FakeOpenAI() as fake:
        configuration = {"llm": {"providers": [entry(fake, health_check={"interval_seconds": 0.001})]}}
        caxton = Caxton.from_dict(configuration, environ={})
        assert [task for task in asyncio.all_tasks() if "caxton" in task.get_name()] == []
        await caxton.aclose()


def test_the_blocking_library_checks_in_the_background_too() -> None:
    check = {"interval_seconds": 0.01, "test_prompt": "Say OK"}
    caxton = Caxton.from_dict({"llm": {"provider": "builtin", "health_check": check}}, environ={})
    with SyncCaxton(caxton) as blocking:
        for _ in range(1000):
            blocking.complete_chat(messages=[{"role": "user", "content": "Hello"}])
            if caxton.provider_states()[0].health_check is not None:
                break
    checked = caxton.provider_states()[0].health_check
    assert checked is not None
    assert checked.error is None


async def test_a_provider_without_an_endpoint_is_not_checked_and_warned_about() -> None:
    configuration = {"llm": {"provider": "builtin", "health_check": {"interval_seconds": 0.001}}}
    async with Caxton.from_dict(configuration, environ={}) as caxton:
        assert [task for task in asyncio.all_tasks() if "caxton" in task.get_name()] == []
        assert caxton.provider_states()[0].state == "unknown"
    (warning,) = load_mapping(configuration, {}).warnings
    assert (warning.path, warning.hint) == ("llm.health_check", "set test_prompt")


# -- the state for people ---------------------------------------------------------------------------------------------------


def test_a_snapshot_tells_everything_but_the_message() -> None:
    llm = {"provider": "openai", "model": "gpt-4o", "api_key": "sk-planted", "requests_per_minute": 60, "region": "eu"}
    world_clock = FakeClock(1000.0)
    assembly = assemble(load_mapping({"llm": llm}, {}), [], {}, clock=world_clock)
    state = assembly.states[0]
    state.failed(Overloaded("the prompt was: planted", status=529))
    state.succeeded()
    state.whole.add(0.5)
    for _ in range(5):
        state.breaker.failed(990.0, trial=0)
    status = describe_target(state, 1000.0, 1_770_000_000.0)
    assert (status.name, status.provider, status.models, status.region) == ("openai", "openai", ("gpt-4o",), "eu")
    assert (status.state, status.successes, status.failures) == ("down", 1, 1)
    assert status.last_error is not None
    assert (status.last_error.kind, status.last_error.status) == ("overloaded", 529)
    assert status.breaker.opened_at == "2026-02-02T02:39:50.000Z"
    assert status.latency.whole is not None
    assert (status.latency.whole.p50_ms, status.latency.whole.p99_ms) == (500.0, 500.0)
    assert (status.latency.first_content, status.limits.requests_per_minute) == (None, 60)
    assert "planted" not in repr(status)


def test_the_word_for_a_target_follows_its_breaker_and_its_answers() -> None:
    clock = FakeClock(1000.0)
    assembly = assemble(load_mapping({"llm": {"provider": "builtin"}}, {}), [], {}, clock=clock)
    state = assembly.states[0]

    def word() -> str:
        return describe_target(state, clock(), 0.0).state

    assert word() == "unknown"
    state.failed(Overloaded("busy"))
    assert word() == "down"
    state.succeeded()
    assert word() == "up"
    for _ in range(5):
        state.breaker.failed(clock(), trial=0)
    assert word() == "down"
    clock.advance(15.0)
    trial = state.breaker.enter()
    assert word() == "recovering"
    state.breaker.succeeded(clock(), trial=trial)
    assert word() == "recovering"
    clock.advance(30.0)
    assert word() == "up"
