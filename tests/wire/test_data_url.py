"""Data URLs, and images whose type must be seen."""

import base64

import pytest

from caxton_llm.wire.data_url import parse_data_url, sniff_image_type


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("data:image/png;charset=utf-8;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:IMAGE/PNG;BASE64,AAAA", ("image/png", "AAAA")),
        ("data:image/png;base64,AA%2BA", ("image/png", "AA+A")),
        ("data:image/png;base64,AA\n AA", ("image/png", "AAAA")),
        ("data:,hello%20there", ("text/plain", base64.b64encode(b"hello there").decode())),
        ("data:text/plain;charset=utf-8,h%C3%A9", ("text/plain", base64.b64encode("hé".encode()).decode())),
        ("https://example.com/a.png", None),
        ("data:image/png;base64", None),
        ("", None),
    ],
)
def test_a_data_url_is_read_as_rfc_2397_says(url: str, expected: tuple[str, str] | None) -> None:
    assert parse_data_url(url) == expected


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n1234", "image/png"),
        (b"\xff\xd8\xff\xe0123456789", "image/jpeg"),
        (b"GIF89a123456", "image/gif"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7 12345", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_what_an_image_is(head: bytes, kind: str | None) -> None:
    assert sniff_image_type(base64.b64encode(head).decode()) == kind


def test_what_is_not_base64_is_no_image() -> None:
    assert sniff_image_type("é" * 20) is None
