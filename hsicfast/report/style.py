"""The look of every picture: colours and shapes, the sheet it is drawn on, the file it becomes.

Colours are Okabe and Ito's, which the colour-blind tell apart; shape, fill or hatch tell the same in a grey print.
matplotlib, an extra, is imported by the first figure; no pyplot, no state, nothing is shown.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from hsicfast.text import clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Parameters = ParamSpec("Parameters")
Drawn = TypeVar("Drawn")

BLUE, VERMILION, INK, GREY, PALE = "#0072B2", "#D55E00", "#222222", "#767676", "#E3E3E3"
ORANGE, SKY, GREEN, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#CC79A7"
STYLE = {
    **{"font.size": 9.5, "axes.titlesize": 11.5, "axes.titlelocation": "left", "axes.titlepad": 10},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "text.color": INK},
    **{f"{axis}tick.{part}": tone for axis in "xy" for part, tone in (("color", GREY), ("labelcolor", INK))},
    **{"legend.frameon": False, "legend.fontsize": 9, "hatch.linewidth": 0.6},
    # Text as outlines looks alike everywhere; without a salt every SVG of the same figure differs.
    **{"svg.fonttype": "path", "svg.hashsalt": "hsicfast"},
}
MARKERS = {
    **{"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D"},
    **{"triangle-down": "v", "cross": "P", "x": "X", "pentagon": "p"},
}
DASHES = {"solid": "-", "dash": "--", "dashdot": "-.", "dot": ":"}
FLOOR: dict[str, Any] = {"marker": "|", "ms": 12, "mew": 1.8, "color": VERMILION, "ls": "none"}
STAR: dict[str, Any] = {"marker": "*", "ms": 17, "color": VERMILION, "mec": "white", "ls": "none"}
# Bars by whether they are of the good trials alone.
BARS: dict[bool, dict[str, Any]] = {
    False: {"color": PALE, "edgecolor": GREY, "linewidth": 0.8},
    True: {"color": BLUE, "alpha": 0.75, "hatch": "///", "edgecolor": "white", "linewidth": 0.0},
}


class Mark(NamedTuple):
    """What a mark looks like on every backend: its shape in plotly's words, its colour, whether it is filled."""

    shape: str
    colour: str
    filled: bool = True


def styled(draw: Callable[Parameters, Drawn]) -> Callable[Parameters, Drawn]:
    """Let `draw` work under our style alone, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Drawn:
        from matplotlib import style

        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


@styled
def render(figure: Figure, kind: str) -> bytes:
    """The figure as a ``png`` (150 dpi) or ``svg`` file, the same bytes every time."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks is drawn as boxes; the tables spell it out.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def sheet(width: float, height: float) -> Figure:
    """An empty figure, in inches, that a notebook shows."""
    return _picture()(figsize=(width, height), layout="constrained")


def legend(figure: Figure, axes: Axes | None = None) -> None:
    """One legend below everything, of what is labelled in `axes`, the first by default."""
    handles, labels = (axes or figure.axes[0]).get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handletextpad=0.5)


@functools.cache
def _picture() -> type[Figure]:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A notebook asks an object for its picture; matplotlib answers for its figures where pyplot is in use."""

        def _repr_png_(self) -> bytes:
            return render(self, "png")

    return Picture


def look_of(mark: Mark, size: float) -> dict[str, Any]:
    """A mark of this size in points, without a line, in matplotlib's words."""
    look = {"marker": MARKERS[mark.shape], "ms": size, "color": mark.colour, "ls": "none"}
    return look if mark.filled else look | {"mfc": "white"}


def shorten(name: str, most: int = 30) -> str:
    """`name` clipped as matplotlib may draw it."""
    return escape(clip(name, most))


def escape(text: str) -> str:
    """`text` as matplotlib draws it letter by letter: its dollar signs start no formula."""
    return text.replace("$", r"\$")
