"""`llm.monitoring.alerts`: what its keys mean together, and that its secrets are treated as such."""

import pickle
from pathlib import Path

import pytest

from caxton_llm.alerting import alert_policy, make_channels
from caxton_llm.config.alert_schema import AlertsBlock
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_file, load_mapping
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError
from caxton_llm.types import Json


def loaded(*channels: Json, **more: Json) -> Configuration:
    alerts = {"channels": list(channels), **more}
    return load_mapping({"llm": {"provider": "builtin", "monitoring": {"alerts": alerts}}}, {})


def alerts_of(configuration: Configuration) -> AlertsBlock:
    assert configuration.monitoring.alerts is not None
    return configuration.monitoring.alerts


@pytest.mark.parametrize(
    ("channel", "key", "message"),
    [
        ({"type": "webhook"}, "url", "is missing"),
        ({"type": "slack"}, "url", "is missing"),
        ({"type": "command"}, "command", "is missing"),
        ({"type": "log", "url": "https://a.example"}, "url", "not read by a channel of the type log"),
        ({"type": "slack", "url": "https://a.example", "secret": "s"}, "secret", "not read"),
        ({"type": "webhook", "url": "ftp://a.example"}, "url", "is not an http or https address"),
        ({"type": "webhook", "url": {"source": "env"}}, "url.name", "is missing"),
        ({"type": "log", "only": ["provider_dwn"]}, "only[0]", "must be one of"),
    ],
)
def test_a_channel_that_cannot_work_is_a_mistake(channel: Json, key: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        loaded(channel)
    (problem,) = raised.value.problems
    assert problem.path == f"llm.monitoring.alerts.channels[0].{key}"
    assert message in problem.message


def test_no_repr_shows_an_address_or_a_secret() -> None:
    configuration = loaded({"type": "webhook", "url": "https://a.example/planted", "secret": "planted"})
    shown = repr(configuration) + repr(configuration.monitoring) + repr(make_channels(alerts_of(configuration), None))
    assert "planted" not in shown


def test_a_wrong_address_is_not_shown_either() -> None:
    with pytest.raises(ConfigurationError) as raised:
        loaded({"type": "slack", "url": ["planted"]})
    assert "planted" not in str(raised.value)


def test_secrets_are_fetched_like_all_others() -> None:
    reference = {"source": "env", "name": "HOOK"}
    configuration = resolve_secrets(
        loaded({"type": "slack", "url": reference}), environ={"HOOK": "https://h.example/k"}
    )
    assert alerts_of(configuration).channels[0].url == "https://h.example/k"
    with pytest.raises(ConfigurationError, match=r"channels\[0\].url: env: the environment variable HOOK is not set"):
        resolve_secrets(loaded({"type": "slack", "url": reference}), environ={})
    assert pickle.loads(pickle.dumps(configuration)) == configuration


def test_a_file_with_a_secret_counts_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://h.example/k\n")
    (tmp_path / "hook").chmod(0o600)
    path = tmp_path / "caxton.yaml"
    path.write_text(
        "llm:\n  provider: builtin\n  monitoring:\n    alerts:\n      channels:\n"
        "        - {type: slack, url: {source: file, path: hook}}\n"
    )
    configuration = resolve_secrets(load_file(path, {}), environ={})
    assert alerts_of(configuration).channels[0].url == "https://h.example/k"


def test_the_policy_is_in_seconds_and_without_channels_the_log_is_told() -> None:
    block = alerts_of(loaded(repeat_minutes=2, hold_seconds=0, error_rate=0.5))
    policy = alert_policy(block)
    assert (policy.repeat_s, policy.hold_s, policy.error_rate, policy.min_requests) == (120.0, 0.0, 0.5, 20)
    assert [channel.name for channel in make_channels(block, None)] == ["log-1"]
