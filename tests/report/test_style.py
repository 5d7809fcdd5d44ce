"""How a figure becomes a file, and names that are too long."""

from io import BytesIO

import pytest
from matplotlib import image

from hsicfast.report.figures import indices_figure
from hsicfast.report.style import render, shorten


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_files_are_the_same_every_time(run, kind):
    first, second = (render(indices_figure(run.sensitivity), kind) for _ in range(2))
    assert first == second
    assert len(first) > 5000


def test_png_has_150_dots_an_inch(run):
    figure = indices_figure(run.sensitivity)
    height, width = image.imread(BytesIO(render(figure, "png"))).shape[:2]
    assert (width, height) == tuple(int(150 * inches) for inches in figure.get_size_inches())


def test_the_users_own_style_changes_nothing(run):
    import matplotlib

    expected = render(indices_figure(run.sensitivity), "svg")
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "axes.facecolor": "black"}):
        assert render(indices_figure(run.sensitivity), "svg") == expected


def test_shorten_keeps_both_ends():
    assert shorten("short") == "short"
    assert shorten("a" * 20 + "b" * 20, 11) == "aaaaa…bbbbb"
    assert len(shorten("x" * 100, 30)) == 30
