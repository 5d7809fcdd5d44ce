"""Holds the look of every picture: colours and marks for print and screen, and how a matplotlib figure becomes a file.

The colours are those of Okabe and Ito, which colour-blind people can tell apart; in a grey print shape, fill or hatch
say the same. The first figure imports matplotlib, an extra; pyplot and its state are never used.
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
    # Text drawn as outlines looks the same everywhere; without a salt each SVG of the same figure differs.
    **{"svg.fonttype": "path", "svg.hashsalt": "hsicfast"},
}
# The shapes and dashes of content.py in matplotlib's words.
MARKERS = {
    **{"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D"},
    **{"triangle-down": "v", "cross": "P", "x": "X", "pentagon": "p"},
}
DASHES = {"solid": "-", "dash": "--", "dashdot": "-.", "dot": ":"}
FLOOR: dict[str, Any] = {"marker": "|", "ms": 12, "mew": 1.8, "color": VERMILION, "ls": "none"}
STAR: dict[str, Any] = {"marker": "*", "ms": 17, "color": VERMILION, "mec": "white", "ls": "none"}
# The keys say whether the bars are of the good trials.
BARS: dict[bool, dict[str, Any]] = {
    False: {"color": PALE, "edgecolor": GREY, "linewidth": 0.8},
    True: {"color": BLUE, "alpha": 0.75, "hatch": "///", "edgecolor": "white", "linewidth": 0.0},
}


class Mark(NamedTuple):
    """A mark on print and screen: its shape in plotly's words, its colour, whether it is filled."""

    shape: str
    colour: str
    filled: bool = True


def styled(draw: Callable[Parameters, Drawn]) -> Callable[Parameters, Drawn]:
    """Make `draw` use our style alone and ignore the user's matplotlibrc."""

    @functools.wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Drawn:
        from matplotlib import style

        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


@styled
def render(figure: Figure, kind: str) -> bytes:
    """The bytes of the figure as a ``png`` (150 dpi) or ``svg`` file, the same every time."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # matplotlib draws boxes for letters that its font lacks; the tables spell the name out.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def sheet(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, which a notebook can show."""
    return _picture()(figsize=(width, height), layout="constrained")


def legend(figure: Figure, axes: Axes | None = None) -> None:
    """Add one legend below everything for what has a label in `axes`, by default the first ones."""
    handles, labels = (axes or figure.axes[0]).get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handletextpad=0.5)


@functools.cache
def _picture() -> type[Figure]:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that a notebook shows although pyplot is not in use."""

        def _repr_png_(self) -> bytes:
            return render(self, "png")

    return Picture


def look_of(mark: Mark, size: float) -> dict[str, Any]:
    """The options of matplotlib for a mark of this size in points, without a line."""
    look = {"marker": MARKERS[mark.shape], "ms": size, "color": mark.colour, "ls": "none"}
    return look if mark.filled else look | {"mfc": "white"}


def shorten(name: str, most: int = 30) -> str:
    """`name` clipped and escaped for matplotlib."""
    return escape(clip(name, most))


def escape(text: str) -> str:
    """`text` escaped so that matplotlib draws it letter by letter: no dollar sign starts a formula."""
    return text.replace("$", r"\$")
