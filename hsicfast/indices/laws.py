"""Whether trials follow the distributions of the space, which map their values to [0, 1] then."""

from __future__ import annotations

import warnings

import numpy as np

from hsicfast.evidence.uniformity import departures
from hsicfast.indices.carried import Law, carry
from hsicfast.indices.streaming import MIN_TRIALS
from hsicfast.text import p_text
from hsicfast.trials.table import TrialTable

# Values do not follow their distribution if an adjusted p-value is at most this. A warning names up to MOST_NAMED.
DEPARTED, MOST_NAMED = 1e-3, 4


def law_that_holds(table: TrialTable, law: Law, stacklevel: int) -> Law:
    """The law that was asked for; ranks, with a warning, if the trials do not follow the distributions of the space.

    Parameters
    ----------
    table : TrialTable
        The trials that are judged.
    law : {"space", "ranks"}
        What was asked for.
    stacklevel : int
        Whom the warning names, as in ``warnings.warn``.
    """
    if law == "ranks":
        return law
    rows = {name: np.flatnonzero(table.active(name)) for name in table.space}
    carried = {name: carry(table, name, where, law) for name, where in rows.items() if len(where) >= MIN_TRIALS}
    # A constant has no effect under either law.
    columns = {name: (u, width) for name, (u, width) in carried.items() if np.ptp(u) > 0}
    pvalues = dict(zip(columns, departures(list(columns.values())), strict=True))
    wrong = [name for name, pvalue in pvalues.items() if pvalue <= DEPARTED]
    if not wrong:
        return law
    named = ", ".join(wrong[:MOST_NAMED]) + (" and others" if len(wrong) > MOST_NAMED else "")
    warnings.warn(
        f"law='space' needs values that follow the distributions of the space, but those of {named} do not (adjusted p "
        f"{p_text(min(pvalues.values()))}), so their ranks are used; pass law='ranks' to say so yourself",
        stacklevel=stacklevel,
    )
    return "ranks"
