"""What was said before a request: its turns, stored and brought, and what of them goes into a context. Pure."""
