"""What reading JSON that somebody else wrote may raise."""

import msgspec

__all__ = ["UNREADABLE"]

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""It is no JSON, not of the expected shape, not UTF-8, or nested too deeply."""
