"""Data URLs (RFC 2397) and the media types of images that come without a trustworthy one."""

import base64
import binascii
from urllib.parse import unquote_to_bytes

__all__ = ["parse_data_url", "sniff_image_type"]

_DEFAULT_TYPE = "text/plain"


def parse_data_url(url: str) -> tuple[str, str] | None:
    """Media type (lower case, without parameters) and base64 payload of a data URL; `None` when `url` is not one.

    Parameters such as `;charset=utf-8` are allowed and dropped; a percent-encoded payload is converted to base64.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, payload = url.partition(",")
    if not comma:
        return None
    media_type, *parameters = head[5:].split(";")
    media_type = media_type.strip().lower() or _DEFAULT_TYPE
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        return media_type, base64.b64encode(unquote_to_bytes(payload)).decode("ascii")
    if "%" in payload:
        payload = unquote_to_bytes(payload).decode("latin-1")
    return media_type, "".join(payload.split())


def sniff_image_type(b64: str) -> str | None:
    """The media type that the first bytes of a base64 image tell (PNG, JPEG, GIF, WebP), else `None`."""
    try:
        head = binascii.a2b_base64(b64[:16])
    except (binascii.Error, ValueError):  # not base64, or not ASCII
        return None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None
