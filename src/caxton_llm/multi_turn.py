"""A request that no model can take at once: its parts are worked through one by one, and the results combined."""
