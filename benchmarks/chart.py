"""The results as a drawing: bars from 1.00, to the right for faster, on a scale where each step doubles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from benchmarks.clients import BASELINE
from benchmarks.measure import Result

__all__ = ("draw",)

_LANES: Final = {"asyncio": ("anydocker on asyncio", "#2f6fb2"), "trio": ("anydocker on trio", "#5aa9a1")}
_PEERS: Final = {"docker-py": ("docker-py", "#b0b0b0")}
_ALL: Final = {**_LANES, **_PEERS}

_WIDTH: Final = 860
_LEFT: Final = 300
_BAR: Final = 6
_ROW: Final = 26
_GROUP: Final = 24
_TOP: Final = 64
_LOWEST: Final = -3  # powers of two at the ends of the scale
_HIGHEST: Final = 4


def draw(results: Sequence[Result]) -> str:
    """An SVG document."""
    rows = [result for result in results if result.ratio("asyncio") is not None]
    groups = len({result.row.group for result in rows})
    height = _TOP + len(rows) * _ROW + groups * _GROUP + 16
    body = "\n".join((*_legend(), *_scale(height), *_bars(rows)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _x(ratio: float) -> float:
    power = min(max(math.log2(ratio), _LOWEST), _HIGHEST)
    return _LEFT + (power - _LOWEST) / (_HIGHEST - _LOWEST) * (_WIDTH - _LEFT - 24)


def _text(x: float, y: float, text: str, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{escape(text)}</text>'


def _legend() -> Iterator[str]:
    yield _text(12, 20, f"Times as fast as {BASELINE}", 'font-weight="bold" font-size="14"')
    for number, (name, colour) in enumerate(_ALL.values()):
        x = _LEFT + number * 160
        yield f'<rect x="{x}" y="11" width="10" height="10" fill="{colour}"/>'
        yield _text(x + 15, 20, name)


def _scale(height: int) -> Iterator[str]:
    for power in range(_LOWEST, _HIGHEST + 1):
        x = _x(2.0**power)
        colour = "#404040" if power == 0 else "#e0e0e0"
        yield f'<line x1="{x:.1f}" y1="{_TOP - 18}" x2="{x:.1f}" y2="{height - 8}" stroke="{colour}"/>'
        yield _text(
            x, _TOP - 24, f"{2**power}" if power >= 0 else f"1/{2**-power}", 'text-anchor="middle" fill="#606060"'
        )


def _bars(results: Sequence[Result]) -> Iterator[str]:
    y = _TOP
    group = ""
    for result in results:
        if result.row.group != group:
            group = result.row.group
            yield _text(12, y + 14, group, 'font-weight="bold"')
            y += _GROUP
        yield _text(24, y + 14, result.row.title)
        for number, (lane, (_, colour)) in enumerate(_ALL.items()):
            ratio = result.ratio(lane)
            if ratio is not None and ratio > 0:
                yield _bar(1 / ratio if result.row.costs else ratio, y + 2 + number * (_BAR + 1), colour)
        y += _ROW


def _bar(ratio: float, y: float, colour: str) -> str:
    start, end = sorted((_x(1.0), _x(ratio)))
    label = f"<title>{ratio:.2f}</title>"
    width = max(end - start, 1.0)
    return f'<rect x="{start:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}">{label}</rect>'
