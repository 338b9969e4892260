"""Agents and capabilities, what a request to one needs, and the conversations that they have. Pure."""
