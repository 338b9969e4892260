"""Agents through the library without `async`."""

from pathlib import Path

from caxton_llm import SyncCaxton


def test_an_agents_context_is_prepared_and_told_of_without_async(tmp_path: Path) -> None:
    configuration = {
        "llm": {"provider": "builtin"},
        "agents": [{"name": "Reporter", "system_prompt": "You write reports.", "context": {"budget": 2000}}],
        "context": {"conversations": {"data_dir": str(tmp_path / "kept")}},
    }
    asked = {"model": "agent:Reporter", "messages": [{"role": "user", "content": "Hello"}], "conversation_id": "q3"}
    with SyncCaxton.from_dict(configuration) as caxton:
        document = caxton.prepare_context(**asked, providers=["anthropic"])
        assert document.context_metadata.token_budget == 2000
        assert document.payloads["anthropic"]["system"] == "You write reports."
        whole = caxton.complete_chat(**asked)
        with caxton.stream_chat(**asked) as stream:
            assert [*stream]
        assert whole.context is not None
        assert stream.context is not None
        assert (whole.context.conversation, stream.context.conversation) == ("q3", "q3")
        assert (whole.context.budget, stream.context.budget) == (2000, 2000)
        assert "conversation" in stream.context.sources
