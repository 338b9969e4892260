"""Values of a request -> JSON bytes; what a library caller put there that JSON cannot express is the caller's mistake."""

import msgspec

from caxton_llm.errors import InvalidRequest
from caxton_llm.types import Json

__all__ = ["written"]

_ENCODER = msgspec.json.Encoder()


def written(value: Json, encoder: msgspec.json.Encoder = _ENCODER) -> bytes:
    """Raises `InvalidRequest`, without repeating the value."""
    try:
        return encoder.encode(value)
    except UnicodeEncodeError:
        raise InvalidRequest("the request has text that is not Unicode (half of a surrogate pair)") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(f"the request holds a value that JSON cannot express: {error}") from None
