"""What images cost: sizes from the heads of data URLs, and each vendor's published examples."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.tokens.image_size import image_size
from caxton_llm.tokens.image_tokens import image_tokens
from caxton_llm.types import ImageUrl

ELSEWHERE = "https://example.com/a.png"


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x06\x00\x00\x00"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00" * 8


def jpeg(width: int, height: int, *before: bytes) -> bytes:
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x00" * 9
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(each) + 2) + each for each in before)
    return b"\xff\xd8" + segments + b"\xff" + frame + b"\xff\xda"


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + b"\x00\x00\x00\x00" + body


def sized(width: int, height: int, detail: str | None = None) -> ImageUrl:
    return ImageUrl(data_url(png(width, height)), detail)


@given(st.integers(1, 16_383), st.integers(1, 16_383))
def test_the_size_is_read_from_the_head_of_every_format(width: int, height: int) -> None:
    lossy = b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)
    lossless = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\x00" * 8
    extended = b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    for data in (
        png(width, height),
        gif(width, height),
        jpeg(width, height),
        jpeg(width, height, b"Exif\x00\x00" + b"\xff\xc0" * 500, b"x" * 60_000, b"y" * 60_000),
        webp(b"VP8 ", lossy),
        webp(b"VP8L", lossless),
        webp(b"VP8X", extended),
    ):
        assert image_size(data_url(data)) == (width, height)


@pytest.mark.parametrize(
    "url",
    [
        ELSEWHERE,
        "",
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        data_url(png(10, 10)[:20]),
        data_url(png(0, 10)),
        data_url(jpeg(10, 10)[:8]),
        data_url(b"\xff\xd8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        data_url(webp(b"ANIM", b"\x00" * 20)),
        data_url(b"BM" + b"\x00" * 60),
    ],
)
def test_what_has_no_whole_head_has_no_size(url: str) -> None:
    assert image_size(url) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x00\x00\x00\x00WEBPVP8X"):
        image_size(data_url(start + data))


@pytest.mark.parametrize(
    ("model", "image", "tokens"),
    [
        # https://developers.openai.com/api/docs/guides/images-vision, and its rules worked out by hand.
        ("gpt-4o", sized(1024, 1024, "high"), 765),
        ("gpt-4o", sized(1920, 1080), 1105),
        ("gpt-4o", sized(2048, 4096), 1105),
        ("gpt-4o", sized(4096, 8192, "low"), 85),
        ("gpt-4o", sized(10, 10), 255),
        ("gpt-4o-mini", sized(1024, 1024), 2833 + 4 * 5667),
        ("gpt-5.1-2025-11-13", sized(1024, 1024), 70 + 4 * 140),
        ("gpt-5.4", sized(1024, 1024, "high"), 1229),
        ("gpt-5.4", sized(2048, 2048, "high"), 3000),
        ("gpt-6-astra", sized(2048, 2048, "high"), 3000),
        ("gpt-5.5", sized(1920, 1080, "high"), 2448),
        ("gpt-5.6-sol", sized(4000, 4000), 18_750),
        ("gpt-5.6-sol", sized(4000, 4000, "low"), 308),
        ("gpt-4.1-mini", sized(1024, 1024), 1659),
        ("o3", sized(1024, 1024), 675),
        # Of an unknown size: the most that the rule allows.
        ("gpt-4o", ImageUrl(ELSEWHERE), 85 + 8 * 170),
        ("gpt-4o", ImageUrl(ELSEWHERE, "low"), 85),
        ("gpt-5.4", ImageUrl(ELSEWHERE), 3000),
        ("gpt-5.6-sol", ImageUrl(ELSEWHERE), 36_000),
        ("gpt-5.6-sol", ImageUrl(ELSEWHERE, "high"), 3000),
    ],
)
def test_openais_images_cost_what_its_pages_say(model: str, image: ImageUrl, tokens: int) -> None:
    assert image_tokens(image, "openai", model) == tokens


@pytest.mark.parametrize(
    ("model", "size", "least", "most"),
    [
        # https://platform.claude.com/docs/en/build-with-claude/vision
        ("claude-sonnet-4-5", (200, 200), 54, 64),
        ("claude-sonnet-4-5", (1000, 1000), 1296, 1334),
        ("claude-sonnet-4-5", (1920, 1080), 1560, 1568),
        ("claude-opus-4-7", (1920, 1080), 2691, 2765),
        ("claude-opus-5", (3840, 2160), 4784, 4784),
        ("claude-opus-5", (2000, 1500), 3888, 4000),
    ],
)
def test_anthropics_images_cost_what_its_pages_say(model: str, size: tuple[int, int], least: int, most: int) -> None:
    assert least <= image_tokens(sized(*size), "anthropic", model) <= most


def test_claude_before_4_7_takes_smaller_images() -> None:
    assert image_tokens(ImageUrl(ELSEWHERE), "anthropic", "claude-haiku-4-5-20251001") == 1568
    assert image_tokens(ImageUrl(ELSEWHERE), "anthropic", "claude-sonnet-5") == 4784
    assert image_tokens(ImageUrl(ELSEWHERE), "openai", "anthropic/claude-sonnet-5") == 4784


def test_local_models_get_the_most_expensive_of_the_usual_rules() -> None:
    assert image_tokens(sized(1120, 560), "ollama", "gemma3") == 40 * 20
    assert image_tokens(sized(8000, 8000), "vllm", "Qwen/Qwen2-VL-7B-Instruct") == 16_384
    assert image_tokens(ImageUrl(ELSEWHERE), "vllm", "m") == 4096


@given(
    st.sampled_from(
        ["gpt-4o", "gpt-5.2", "gpt-5.4", "gpt-5.5", "gpt-6-sol", "deployment", "claude-opus-5", "claude-3-opus"]
    ),
    st.sampled_from(["low", "high", "original", "auto", None, "odd"]),
    st.integers(1, 9_000),
    st.integers(1, 9_000),
)
def test_no_size_costs_more_than_an_unknown_one(model: str, detail: str | None, width: int, height: int) -> None:
    provider = "anthropic" if model.startswith("claude") else "azure"
    tokens = image_tokens(sized(width, height, detail), provider, model)
    assert 0 < tokens <= image_tokens(ImageUrl(ELSEWHERE, detail), provider, model)
