"""Decides how the ranking of the hyperparameters moves as the goal goes from the best 5% to the best 50%."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.indices.findings import ALPHA, Findings
from hsicfast.indices.stability import Sweep
from hsicfast.report.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION
from hsicfast.text import share_text
from hsicfast.trials.goal import goal_text

# A ranking shows up to MOST_RANKED names, as many as LINES has looks.
MOST_RANKED = 8
# The keys say whether there is evidence that a hyperparameter decides.
RANK_LABELS = {True: f"evidence that it decides: p ≤ {ALPHA}, not adjusted", False: "none seen"}
# Colour, dash and shape of each line of the ranking; dash and shape tell the lines apart in a grey print.
LINES = tuple(
    zip(
        (BLUE, VERMILION, GREEN, INK, ORANGE, PURPLE, SKY, GREY),
        ("solid", "dash", "dashdot", "dot", "solid", "dash", "dashdot", "dot"),
        ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "pentagon"),
        strict=True,
    )
)


class RankLine(NamedTuple):
    """One hyperparameter in the ranking: its look, and for each share its rank, R2, p-value and whether p is small."""

    name: str
    colour: str
    dash: str
    shape: str
    rank: Rows
    r2: Floats
    pvalue: Floats
    seen: Bools


class RankLines(NamedTuple):
    """How the ranking moves.

    Attributes
    ----------
    x : array (P,)
        Shares of good trials in percent; `shares` are their labels.
    lines : list of RankLine
    lowest : int
        The lowest rank of these lines.
    of : int
        Hyperparameters in the ranking.
    asked : float or None
        The share of the analysis in percent; None if it lies beyond the shares.
    goal, title, across, up : str
    """

    x: Floats
    shares: list[str]
    lines: list[RankLine]
    lowest: int
    of: int
    asked: float | None
    goal: str
    title: str
    across: str
    up: str


def clearest_ranks(sensitivity: Conclusions, most: int = MOST_RANKED) -> tuple[Sweep, list[int]] | None:
    """The ranking against the goal, and up to `most` of its names: those seen to decide at some goal go first.

    None if there is no ranking to move: one hyperparameter, or none that was judged.
    """
    sweep = sensitivity.sweep
    if sweep is None or len(sweep.names) < 2:
        return None
    never = (sweep.pvalue > ALPHA).all(axis=0)
    chosen = np.lexsort((sweep.rank.mean(axis=0), never))[:most]
    return sweep, sorted(chosen.tolist())


def rank_lines(sensitivity: Findings, sweep: Sweep, chosen: list[int]) -> RankLines:
    """The lines of the `chosen` names of a ranking against the goal."""
    x = 100 * np.array(sweep.shares)
    lines = [
        RankLine(sweep.names[k], *look, sweep.rank[:, k], sweep.r2[:, k], p := sweep.pvalue[:, k], p <= ALPHA)
        for look, k in zip(LINES, chosen, strict=False)
    ]
    asked = 100 * float(sensitivity.met.mean())
    left_out = len(sweep.names) - len(chosen)
    return RankLines(
        x=x,
        shares=[share_text(share) for share in sweep.shares],
        lines=lines,
        lowest=int(sweep.rank[:, chosen].max()),
        of=len(sweep.names),
        asked=asked if asked <= x[-1] else None,
        goal=goal_text(sensitivity.goal, sensitivity.question.minimize),
        title="How the ranking moves with the goal" + (f" ({left_out} left out)" if left_out else ""),
        across="share of trials that counts as good",
        up="rank by the index",
    )
