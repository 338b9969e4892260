"""The guard of `conftest.py`: no test reaches the network."""

import os
import socket

import pytest


def test_a_connection_to_anywhere_else_is_a_failure_of_the_test() -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="only loopback"):
        sock.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match="only loopback"):
        socket.getaddrinfo("api.example.org", 443)


def test_a_name_under_invalid_is_unknown() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 443)


def test_no_vendor_key_of_the_outside_is_seen() -> None:
    assert not [name for name in os.environ if name.startswith(("OPENAI_", "ANTHROPIC_", "AZURE_", "OLLAMA_"))]
