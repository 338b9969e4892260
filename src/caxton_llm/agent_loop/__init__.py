"""Requests to agents on their way: the model is asked, its calls of tools are run, until it answers."""
