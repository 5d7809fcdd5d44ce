"""Writes small SVG pictures: a frame with two axes, points, lines and labels, coloured by the style sheet of the page.

A picture is 360 units wide, about as wide as a phone, so that its letters stay readable on one and are a little larger
on a desk. Every text is escaped. Points are one path a layer, some 10 bytes a point, which a page of 100,000 trials
needs; the script of the page finds the trial of a point by its place in ``data-t``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.report.axes import Scale, few_ticks, fits_log_axis, place_labels, round_step
from hsicfast.report.style import Mark
from hsicfast.text import clip, value_text

WIDTH, HEIGHT = 360.0, 230.0
# Margins of a frame: left for the labels of its y axis, below for those of its x axis and its name, above for its name.
LEFT, RIGHT, ABOVE, BELOW = 50.0, 10.0, 22.0, 36.0
# What follows the place of a point: dots are the round ends of lines without length, the others are outlines.
SHAPES = {
    "circle": "h0",
    "square": "m-2.5-2.5h5v5h-5z",
    "diamond": "m0-3.5l3 3.5-3 3.5-3-3.5z",
    "triangle-up": "m0-3.6l3.3 6h-6.6z",
    "triangle-down": "m0 3.6l3.3-6h-6.6z",
}
# A letter of the labels is about so wide and high.
LETTER = (5.9, 12.0)
# An axis has up to MOST_TICKS labels if they are numbers.
MOST_TICKS = 6
# Values stay this share of the axis away from its ends, so that a mark at an end is whole.
PAD = 0.03


class Axis(NamedTuple):
    """Values from `low` to `high`, on a logarithmic axis if `log`, with labels at some of them."""

    low: float
    high: float
    log: bool
    ticks: list[tuple[float, str]]

    def at(self, values: Any) -> Floats:
        """Where values lie, from 0 at the low end to 1 at the high one."""
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        given = np.asarray(values, dtype=np.float64)
        where = (np.log(given) if self.log else given) - low
        return PAD + (1 - 2 * PAD) * where / ((high - low) or 1.0)


def number_axis(values: Floats, log: bool | None = None) -> Axis:
    """The axis of these numbers, at least one; logarithmic if that suits them, unless `log` says so.

    Examples
    --------
    >>> number_axis(np.array([0.0, 9.0])).ticks
    [(0.0, '0'), (2.5, '2.5'), (5.0, '5'), (7.5, '7.5')]
    >>> number_axis(np.array([0.01, 2.0])).ticks
    [(0.01, '0.01'), (0.1, '0.1'), (1.0, '1')]
    """
    low, high = float(values.min()), float(values.max())
    log = fits_log_axis(values) if log is None else log
    if log:
        return Axis(low, high, True, _decades(low, high))
    if low == high:
        return Axis(low - 0.5, high + 0.5, False, [(low, value_text(low))])
    step = round_step(high - low)
    places = [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return Axis(low, high, False, [(place, value_text(place)) for place in places])


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / MOST_TICKS))
    ticks = [float(f"1e{k}") for k in range(first, last + 1, step)]
    if len(ticks) < 2:  # less than two decades: also twos and fives
        ticks = [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5) if low <= m * 10.0**k <= high]
    return [(tick, value_text(tick)) for tick in ticks]


def scale_axis(its: Scale) -> Axis:
    """The axis of a hyperparameter on its own scale: its levels, or numbers."""
    if not its.levels:
        return number_axis(its.at, its.log and fits_log_axis(its.at))
    kept = few_ticks(its.levels, most=MOST_TICKS)
    return Axis(-0.4, len(its.levels) - 0.6, False, [(float(k), clip(its.levels[k], 11)) for k in kept])


class Frame:
    """A picture with two axes that is filled mark by mark and then written.

    Parameters
    ----------
    x, y : Axis
    across, up : str
        Names of the axes.
    width, height : float
    """

    def __init__(self, x: Axis, y: Axis, across: str, up: str, *, width: float = WIDTH, height: float = HEIGHT) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height
        self.right, self.bottom = width - RIGHT, height - (BELOW if across else BELOW / 2)
        self.marks: list[str] = []
        self.taken: list[tuple[float, float]] = []
        self._axes(across, up)

    def place(self, x: Any, y: Any) -> tuple[Floats, Floats]:
        """Values as units of the picture, from its upper left corner."""
        return (
            LEFT + self.x.at(x) * (self.right - LEFT),
            self.bottom - self.y.at(y) * (self.bottom - ABOVE),
        )

    def points(self, x: Any, y: Any, mark: Mark, trials: Iterable[Any] = ()) -> None:
        """Points that look like `mark`; `trials` are their numbers, for the pointer."""
        places = zip(*self.place(x, y), strict=True)
        path = "".join(f"M{short(a)} {short(b)}{SHAPES[mark.shape]}" for a, b in places)
        if path:
            look = ("good" if mark.filled else "other") + (" dot" if mark.shape == "circle" else "")
            named = " ".join(str(trial) for trial in trials)
            self.marks.append(f'<path class="{look}" d="{path}"' + (f' data-t="{named}"' if named else "") + "/>")

    def line(self, x: Any, y: Any, look: str) -> None:
        """A line of the class `look` through these points."""
        self.marks.append(f'<path class="{look}" d="M{" ".join(map(_pair, zip(*self.place(x, y), strict=True)))}"/>')

    def level(self, y: float, label: str) -> None:
        """A dashed line across the picture at `y`, whose label stands at the right above it."""
        at = float(self.place(0.0 if not self.x.log else self.x.low, y)[1])
        self.marks.append(f'<path class="edge" d="M{LEFT:g} {short(at)}H{self.right:g}"/>')
        above = at - 4 if at > ABOVE + 14 else at + 12
        self.text(self.right, above, label, "end", "soft halo")
        across = np.arange(self.right - LETTER[0] * len(label), self.right + 1, 6.0)
        self.taken += [(float(a) - LEFT, self.bottom - above + 4) for a in across]

    def bar(self, x: float, width: float, height: float, look: str, text: str) -> None:
        """A bar from the bottom up, between shares of the frame; the pointer reads `text`."""
        full = self.right - LEFT
        top = self.bottom - height * (self.bottom - ABOVE)
        self.marks.append(
            f'<rect class="{look}" x="{short(LEFT + x * full)}" y="{short(top)}" width="{short(width * full)}" '
            f'height="{short(self.bottom - top)}"><title>{escape(text)}</title></rect>'
        )

    def stars(self, found: Sequence[tuple[float, float, str]]) -> None:
        """Stars at these places, each with its label where that covers no other label."""
        if not found:
            return
        x, y = self.place([star[0] for star in found], [star[1] for star in found])
        names = [clip(name, 24) for *_, name in found]
        inside = np.vstack([np.column_stack([x - LEFT, self.bottom - y]), np.reshape(self.taken, (-1, 2))])
        box = (self.right - LEFT, self.bottom - ABOVE)
        sides = place_labels(inside, [*names, *[""] * len(self.taken)], box, LETTER, 7.0)
        for a, b, name, side in zip(x, y, names, sides, strict=False):
            self.marks.append(
                f'<path class="star" d="{_star(float(a), float(b))}"><title>{escape(name)}</title></path>'
            )
            if side is not None:
                anchor = ("end", "middle", "start")[side[0] + 1]
                self.text(float(a) + 9 * side[0], float(b) - 13 * side[1] + 4, name, anchor, "strong halo")

    def text(self, x: float, y: float, text: str, anchor: str = "start", look: str = "") -> None:
        """A text at this place of the picture."""
        classes = f' class="{look}"' if look else ""
        self.marks.append(f'<text x="{short(x)}" y="{short(y)}" text-anchor="{anchor}"{classes}>{escape(text)}</text>')

    def svg(self, label: str, kind: str = "") -> str:
        """The picture; `label` says what it shows to whom does not see it."""
        return (
            f'<svg class="plot {kind}" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(label)}">{"".join(self.marks)}</svg>'
        )

    def _axes(self, across: str, up: str) -> None:
        self.marks.append(f'<path class="axis" d="M{LEFT:g} {ABOVE:g}V{self.bottom:g}H{self.right:g}"/>')
        taken = -math.inf
        ends = [LEFT + float(self.x.at(value)) * (self.right - LEFT) for value, _ in self.x.ticks]
        for at, (_, label) in zip(ends, self.x.ticks, strict=True):
            half = LETTER[0] * len(label) / 2
            middle = min(at, self.width - half - 1)
            if middle - half > taken:
                self.text(middle, self.bottom + 14, label, "middle", "tick")
                self.marks.append(f'<path class="axis" d="M{short(at)} {self.bottom:g}v3"/>')
                taken = middle + half + 6
        for value, label in self.y.ticks:
            at = self.bottom - float(self.y.at(value)) * (self.bottom - ABOVE)
            self.text(LEFT - 6, at + 4, clip(label, 8), "end", "tick")
            self.marks.append(f'<path class="grid" d="M{LEFT:g} {short(at)}H{self.right:g}"/>')
        if across:
            self.text(self.right, self.height - 6, clip(across, 52), "end", "soft")
        self.text(4, 13, clip(up, 46), "start", "soft")


def short(value: float) -> str:
    """A coordinate with one decimal at most.

    Examples
    --------
    >>> short(12.04), short(3.25)
    ('12', '3.2')
    """
    return f"{value:.1f}".removesuffix(".0")


def _pair(at: tuple[float, float]) -> str:
    return f"{short(at[0])} {short(at[1])}"


def _star(x: float, y: float, size: float = 8.0) -> str:
    corners = [
        (x + r * math.sin(k * math.pi / 5), y - r * math.cos(k * math.pi / 5))
        for k, r in enumerate([size, 0.42 * size] * 5)
    ]
    return f"M{' '.join(map(_pair, corners))}Z"
