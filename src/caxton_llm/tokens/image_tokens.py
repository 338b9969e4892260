"""What an image costs, by each vendor's rules. Pure.

Sources: OpenAI, https://developers.openai.com/api/docs/guides/images-vision (model sizing behavior, calculating costs);
Anthropic, https://platform.claude.com/docs/en/build-with-claude/vision (evaluate image size). An image whose size is not
known costs the most that the model's rule allows.
"""

import math

from msgspec import Struct

from caxton_llm.tokens.image_size import image_size
from caxton_llm.tokens.vendors import bare_name, vendor_of, writes_older_claude
from caxton_llm.types import ImageUrl

__all__ = ["image_tokens"]

_Size = tuple[int, int]


class _Tiles(Struct, frozen=True):
    """Squares of 512 pixels after scaling to at most 2048, and the shorter side to at most 768."""

    base: int
    tile: int


class _Limits(Struct, frozen=True):
    longest: int
    patches: int | None
    """`None`: no budget."""


class _Patches(Struct, frozen=True, kw_only=True):
    """Squares of 32 pixels, times a factor."""

    factor: float
    low: _Limits
    high: _Limits
    original: _Limits
    auto: _Limits

    def limits(self, detail: str) -> _Limits:
        if detail == "low":
            return self.low
        if detail == "high":
            return self.high
        return self.original if detail == "original" else self.auto


_REFUSED_PATCHES = 30_000
"""An image with more is refused by OpenAI."""
_MOST_TILES = 8
"""Of 2048 x 768."""
_SMALL, _HIGH = _Limits(512, None), _Limits(2048, 2_500)
_ORIGINAL, _UNLIMITED, _ONE_SIZE = _Limits(6000, 10_000), _Limits(65_535, None), _Limits(2048, 6_144)


def _one_size(factor: float, patches: int = 6_144) -> _Patches:
    limits = _Limits(2048, patches)
    return _Patches(factor=factor, low=limits, high=limits, original=limits, auto=limits)


_LATEST = _Patches(factor=1.2, low=_SMALL, high=_HIGH, original=_UNLIMITED, auto=_UNLIMITED)
_OPENAI: tuple[tuple[str, _Tiles | _Patches], ...] = (
    # The beginning of a name; the first that fits counts.
    ("gpt-6", _LATEST),
    ("gpt-5.6", _LATEST),
    ("gpt-5.5", _Patches(factor=1.2, low=_SMALL, high=_HIGH, original=_ORIGINAL, auto=_ORIGINAL)),
    ("gpt-5.4", _Patches(factor=1.2, low=_ONE_SIZE, high=_HIGH, original=_ORIGINAL, auto=_HIGH)),
    ("gpt-5.2", _one_size(1.2)),
    ("gpt-5-mini", _one_size(1.2)),
    ("gpt-5-nano", _one_size(1.5)),
    ("gpt-5", _Tiles(70, 140)),
    ("gpt-4.1-mini", _one_size(1.62)),
    ("gpt-4.1-nano", _one_size(2.46, 1_536)),
    ("o4-mini", _one_size(1.72, 1_536)),
    ("gpt-4o-mini", _Tiles(2833, 5667)),
    ("gpt-4", _Tiles(85, 170)),
    ("o1", _Tiles(75, 150)),
    ("o3", _Tiles(75, 150)),
)
_UNKNOWN_OPENAI = _Patches(factor=1.2, low=_ONE_SIZE, high=_HIGH, original=_ORIGINAL, auto=_HIGH)
"""A deployment whose name tells nothing."""

_CLAUDE_PATCH = 28
_CLAUDE_OLDER = _Limits(1568, 1_568)
_CLAUDE_LATER = _Limits(2576, 4_784)
"""4.7 and later."""

_LOCAL_PATCH = 28
_LOCAL_MOST = 16_384
"""Qwen2-VL, with the most for its size among the usual open models: a token for 28 x 28 pixels, at most 16,384
(https://huggingface.co/Qwen/Qwen2-VL-7B-Instruct)."""
_LOCAL_UNKNOWN = 4_096
"""What llama.cpp's servers let an image have at most."""


def image_tokens(image: ImageUrl, provider: str, model: str) -> int:
    """Prompt tokens of an image that a model of that kind of provider gets."""
    size = image_size(image.url)
    vendor = vendor_of(provider, model)
    if vendor == "anthropic":
        limits = _CLAUDE_OLDER if writes_older_claude(model) else _CLAUDE_LATER
        return _claude_tokens(size, limits)
    if vendor == "openai":
        rule = _openai_rule(model)
        detail = image.detail or "auto"
        return _tile_tokens(size, detail, rule) if isinstance(rule, _Tiles) else _patch_tokens(size, detail, rule)
    return _LOCAL_UNKNOWN if size is None else min(_LOCAL_MOST, _patch_count(size, _LOCAL_PATCH))


def _openai_rule(model: str) -> _Tiles | _Patches:
    name = bare_name(model).removeprefix("ft:")
    return next((rule for beginning, rule in _OPENAI if name.startswith(beginning)), _UNKNOWN_OPENAI)


def _claude_tokens(size: _Size | None, limits: _Limits) -> int:
    most = limits.patches or 0
    if size is None:
        return most
    # An image over the budget is made smaller until it fits, so it ends a little below the budget.
    return min(most, _patch_count(_within(size, limits.longest), _CLAUDE_PATCH))


def _tile_tokens(size: _Size | None, detail: str, rule: _Tiles) -> int:
    if detail == "low":
        return rule.base
    tiles = _MOST_TILES
    if size is not None:
        width, height = _within(size, 2048)
        scale = min(1.0, 768 / min(width, height))
        tiles = _patch_count((max(1, int(width * scale)), max(1, int(height * scale))), 512)
    return rule.base + rule.tile * tiles


def _patch_tokens(size: _Size | None, detail: str, rule: _Patches) -> int:
    limits = rule.limits(detail)
    if size is None:
        most = min(_patch_count((limits.longest, limits.longest), 32), limits.patches or _REFUSED_PATCHES)
        return math.ceil(most * rule.factor)
    size = _within(size, limits.longest)
    if limits.patches is not None and _patch_count(size, 32) > limits.patches:
        size = _within_budget(size, limits.patches)
    return math.ceil(min(_patch_count(size, 32), limits.patches or _REFUSED_PATCHES) * rule.factor)


def _within(size: _Size, longest: int) -> _Size:
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _within_budget(size: _Size, patches: int) -> _Size:
    """Step B of OpenAI's rule: the scale is lowered so that whole patches cover the smaller image within the budget."""
    width, height = size
    scale = math.sqrt(32**2 * patches / (width * height))
    across, down = width * scale / 32, height * scale / 32
    scale *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
    return max(1, int(width * scale)), max(1, int(height * scale))


def _patch_count(size: _Size, side: int) -> int:
    return math.ceil(size[0] / side) * math.ceil(size[1] / side)
