"""What is wrong with a client's request, by the path of the field in the request as the client wrote it."""

import msgspec

from caxton_llm.errors import InvalidRequest

__all__ = ["invalid_body", "invalid_field"]


def invalid_body(error: Exception) -> InvalidRequest:
    """The mistake behind what decoding a body has raised: a msgspec error, `UnicodeDecodeError` or `RecursionError`."""
    if isinstance(error, msgspec.ValidationError):
        return invalid_field(error)
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest(f"the body is not UTF-8: byte {error.start} cannot be decoded")
    if isinstance(error, RecursionError):
        return InvalidRequest("the body is nested too deeply")
    return InvalidRequest(f"the body is not JSON: {str(error).removeprefix('JSON is malformed: ')}")


def invalid_field(error: msgspec.ValidationError, base: str = "") -> InvalidRequest:
    """`base` is the path of the value that was decoded; empty for the whole body."""
    reason, _, place = str(error).partition(" - at `$")
    path = base + place.rstrip("`")
    start = "Object missing required field `"
    if reason.startswith(start):
        path = f"{path}.{reason[len(start) : -1]}"
        reason = "is missing"
    path = path.lstrip(".")
    if reason.startswith(("Invalid enum value", "Invalid value")):
        reason = "the value does not exist"  # msgspec repeats it, and it may be anybody's words
    if reason == "Expected `array` of length >= 1":
        reason = "is empty; at least one is needed"
    reason = (reason[:1].lower() + reason[1:]).replace("`", "")
    return InvalidRequest(f"{path}: {reason}" if path else f"the body is wrong: {reason}", param=path or None)
