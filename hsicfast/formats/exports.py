"""What exporters write in cells that is no plain value: W&B's mappings, MLflow's apostrophes, Optuna's constraints."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError
from hsicfast.formats.found import Found, check_names, spread
from hsicfast.formats.studies import INFEASIBLE

if TYPE_CHECKING:
    import pandas as pd


# Optuna's frame of a study has the constraints of its trials in a column of this name, or in one for each.
CONSTRAINTS = "system_attrs_constraints"
# DVC writes these where there is no result, and rows of this type for what is no experiment.
NO_RESULT, NO_EXPERIMENT = ("!", "-"), "baseline"


def cleaned(found: Found) -> Found:
    """The same trials without an exporter's signs for what is no value, and without its rows that are no trials.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"rev": ["a", "b"], "typ": ["baseline", "branch_commit"], "loss": ["!", "'-0.5"]})
    >>> cleaned(Found(frame)).frame.values.tolist(), cleaned(Found(frame)).notes
    ([['b', 'branch_commit', '-0.5']], ('1 row of the typ "baseline" is no experiment and is left out.',))
    """
    frame, notes = found.frame, found.notes
    changed: dict[str, pd.Series[Any]] = {}
    for label in frame.columns[[dtype.kind not in "biufmM" for dtype in frame.dtypes]]:
        column = frame[label]
        if _is_guarded(column):
            # MLflow's page puts an apostrophe before what a spreadsheet would take for a formula.
            guarded = column.astype(str).str.match(r"'[-+=@]")
            changed[label] = column.where(~guarded, column.astype(str).str[1:])
    frame = frame.assign(**changed) if changed else frame
    if {"rev", "typ"} <= set(frame.columns):
        frame = frame.mask(frame.isin(NO_RESULT))
        plain = (frame["typ"] == NO_EXPERIMENT).to_numpy(dtype=bool)
        if plain.any() and not plain.all():
            frame = frame[~plain]
            rows = "1 row of the typ" if plain.sum() == 1 else f"{plain.sum():,} rows of the typ"
            is_none = "is no experiment and is" if plain.sum() == 1 else "are no experiments and are"
            notes = (*notes, f'{rows} "{NO_EXPERIMENT}" {is_none} left out.')
    return _constrained(found._replace(frame=frame, notes=notes))


def _constrained(found: Found) -> Found:
    """The same with the largest constraint of each trial, if Optuna's frame of a study has constraints."""
    frame = found.frame
    labels = [name for name in frame.columns if re.fullmatch(rf"{CONSTRAINTS}(:.*)?", name)]
    if not labels or "constraint" in frame:
        return found
    limits = [_largest(row, labels) for row in frame[labels].itertuples(index=False)]
    beside = {**found.beside, "constraint": INFEASIBLE}
    return found._replace(frame=frame.assign(constraint=limits), beside=beside)


def _largest(cells: Iterable[Any], labels: Sequence[str]) -> float:
    """The largest number in cells of one row, which may be lists of numbers or their texts; NaN if they are empty."""
    numbers: list[float] = []
    for cell, label in zip(cells, labels, strict=True):
        if isinstance(cell, float) and math.isnan(cell):
            continue
        try:
            own = ast.literal_eval(cell) if isinstance(cell, str) else cell
            numbers += map(float, own if isinstance(own, list | tuple) else [own])
        except (ValueError, SyntaxError, TypeError):
            raise InputError(
                f"a trial's constraints must be numbers, but a cell of {label!r} is {cell!r}; correct it"
            ) from None
    return max(numbers, default=math.nan)


def _is_guarded(column: pd.Series[Any]) -> bool:
    """Whether texts of a column begin with an apostrophe."""
    import pandas as pd

    return pd.api.types.infer_dtype(column, skipna=True) in ("string", "mixed", "mixed-integer") and bool(
        column.astype(str).str.startswith("'").any()
    )


def unfolded(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with W&B's mappings spread into columns; keys that begin with an underscore, its own, are left out."""
    import pandas as pd

    folded = {"config": "config/", "summary": ""}
    if not all(name in frame and _is_mapping(frame[name]) for name in folded):
        return frame
    columns: dict[str, Any] = {}
    for name, prefix in folded.items():
        rows = [dict(_leaves(_mapping(value, name, row))) for row, value in enumerate(frame[name])]
        columns |= spread(prefix, rows)
    unfolded = pd.concat([pd.DataFrame(columns, index=frame.index), frame.drop(columns=list(folded))], axis=1)
    check_names(list(unfolded.columns), "the table with what `summary` and `config` hold")
    return unfolded


def _is_mapping(column: pd.Series[Any]) -> bool:
    filled = column.dropna()
    return len(filled) > 0 and (isinstance(filled.iloc[0], dict) or str(filled.iloc[0]).lstrip().startswith("{"))


def _mapping(value: Any, name: str, row: int) -> dict[str, Any]:
    """The mapping in a cell, which may be its text as Python writes it."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(_Numbers().visit(ast.parse(value.strip(), mode="eval")))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = f"{value[:40]} ..."
    if isinstance(value, dict):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {}
    raise InputError(
        f"a run's {name} must be a mapping as Python writes it, but row {row + 1} holds {value!r}; correct it"
    )


class _Numbers(ast.NodeTransformer):
    """Turns the names nan and inf, as Python writes them, into numbers."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The number that `node` names; any other name as it is."""
        return ast.Constant(float(node.id)) if node.id in ("nan", "inf") else node


def _leaves(mapping: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    """Dotted names and values of a mapping that may hold mappings."""
    for key, value in mapping.items():
        if str(key).startswith("_"):
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
