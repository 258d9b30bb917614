"""An estimate as a picture (SVG): what stands, what orders use, and what each choice costs or saves."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from shopstream.cost.report import short, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shopstream.cost.choices import Choice
    from shopstream.cost.estimate import Estimate

WIDTH = 900
"""Of the picture, px; its height follows from what there is to show."""

_MARGIN = 32
_ROW = 30  # px from one bar to the next
_BAR = 16  # px
_BARS_FROM = 262  # px: where a bar begins, right of its name
_BARS_TO = WIDTH - 190  # px: where the longest ends, left of its figure
_INK, _PALE, _RULE = "#1f2933", "#616e7c", "#e4e7eb"
_BLUE, _LIGHT, _RED, _GREEN = "#3e6fb0", "#a9c1e0", "#c2553d", "#3f8f6b"
_LINE = 105  # characters of a line below the bars
_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def draw(estimate: Estimate, choices: Sequence[Choice]) -> str:
    """The picture's text.

    Args:
        estimate: What stands.
        choices: What to compare it with; one that makes no difference by the month is left out.
    """
    table, total = estimate.table, estimate.total
    title = f"{total.hour:.2f} USD an hour, {total.month:,.0f} USD a month, while nothing happens"
    below = (
        f"{total.run:.2f} USD for {estimate.hours:g} h and {estimate.orders:,} orders. "
        f"Estimated from {table.region}'s list prices of {table.as_of}."
    )
    parts = [_text(_MARGIN, 46, title, size=22, weight=600), _text(_MARGIN, 70, below, fill=_PALE)]
    amounts = {name: estimate.amounts(name) for name in estimate.services}
    hours = sorted(((name, each.hour) for name, each in amounts.items() if each.hour), key=lambda each: -each[1])
    used = [(name, each.million_full, each.million_single) for name, each in amounts.items() if each.million_single]
    used.sort(key=lambda each: -each[2])
    compared = [choice for choice in choices if round(choice.month, 2)]
    y = 112.0
    for heading, rows in (
        ("What stands, USD an idle hour", _bars(hours, total.hour)),
        ("What a million orders use, USD: in full batches, to one record in each", _ranges(used)),
        ("What a choice costs or saves, USD an idle month", _differences(compared)),
    ):
        parts.append(_text(_MARGIN, y, heading, size=15, weight=600))
        drawn = list(rows)
        parts += [
            f'<g transform="translate(0 {y + 16 + _ROW * place:.0f})">{row}</g>' for place, row in enumerate(drawn)
        ]
        y += 16 + _ROW * len(drawn) + 44
    if estimate.unpriced:
        missing = ", ".join(str(each) for each in estimate.unpriced)
        for line in wrap(f"Missing from all sums, because no price is known: {missing}", _LINE):
            parts.append(_text(_MARGIN, y, line, fill=_RED, weight=600))
            y += 20
        y += 24
    return _document(y - 44 + _MARGIN, title, parts)


def _bars(rows: Sequence[tuple[str, float]], whole: float) -> Iterator[str]:
    longest = max((amount for _, amount in rows), default=1.0)
    for name, amount in rows:
        length = (_BARS_TO - _BARS_FROM) * amount / longest
        share = f"{amount / whole:.0%}" if amount / whole >= 0.01 else "<1%"
        figure = _figure(_BARS_FROM + length, short(amount, 4), share)
        yield _label(name) + _bar(_BARS_FROM, length, _BLUE, f"{name}: {amount:.6f} USD an hour") + figure


def _ranges(rows: Sequence[tuple[str, float, float]]) -> Iterator[str]:
    longest = max((high for _, _, high in rows), default=1.0)
    scale = (_BARS_TO - _BARS_FROM) / longest
    for name, low, high in rows:
        about = f"{name}: {low:.4f} to {high:.4f} USD for a million orders"
        bars = _bar(_BARS_FROM, high * scale, _LIGHT, about) + _bar(_BARS_FROM, low * scale, _BLUE, about)
        yield _label(name) + bars + _figure(_BARS_FROM + high * scale, spread(low, high))


def _differences(rows: Sequence[Choice]) -> Iterator[str]:
    most = max((choice.month for choice in rows), default=0.0)
    least = min((choice.month for choice in rows), default=0.0)
    scale = (_BARS_TO - _BARS_FROM) / (max(most, 0.0) - min(least, 0.0) or 1.0)
    zero = _BARS_FROM - min(least, 0.0) * scale
    for choice in rows:
        saves = choice.month < 0
        length = abs(choice.month) * scale
        about = f"{choice.name}: {choice.month:+.2f} USD a month ({choice.how})"
        yield (
            f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{_ROW}" stroke="{_RULE}" stroke-width="2"/>'
            + _label(choice.name)
            + _bar(zero - length if saves else zero, length, _GREEN if saves else _RED, about)
            + _figure(zero if saves else zero + length, f"{choice.month:+,.2f}")
        )


def _label(name: str) -> str:
    return _text(_BARS_FROM - 14, _ROW / 2 + 5, name, anchor="end")


def _figure(x: float, amount: str, more: str = "") -> str:
    pale = f'<tspan dx="8" fill="{_PALE}">{escape(more)}</tspan>' if more else ""
    return f'<text x="{x + 8:.1f}" y="{_ROW / 2 + 5:.1f}" font-size="14">{escape(amount)}{pale}</text>'


def _bar(x: float, length: float, fill: str, about: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{(_ROW - _BAR) / 2:.1f}" width="{max(length, 2):.1f}" height="{_BAR}" rx="2" '
        f'fill="{fill}"><title>{escape(about)}</title></rect>'
    )


def _text(
    x: float, y: float, text: str, *, size: int = 14, weight: int = 400, fill: str = _INK, anchor: str = "start"
) -> str:
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)  # XML has no control characters
    return (
        f'<text x="{x}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}">'
        f"{escape(printable)}</text>"
    )


def _document(height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label={quoteattr(title)} '
        f'font-family={quoteattr(_FONT)} fill="{_INK}">'
    )
    ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, ground, *parts, "</svg>", ""])
