"""Fakes for the tests of programs that use this package: no key, no network, no waiting."""

from caxton_llm.testing.fakes import FakeClock, FakeProvider, ScriptedTransport

__all__ = ["FakeClock", "FakeProvider", "ScriptedTransport"]
