"""One interface to every LLM provider."""
