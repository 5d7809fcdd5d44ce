"""Reads trials from objects of other packages: frames, scikit-learn's searches, Ray's results, Optuna's studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError, require
from hsicfast.formats.folders import ray_bookkeeping
from hsicfast.formats.found import Found, flat, spread
from hsicfast.formats.studies import from_study
from hsicfast.space.formats import python_value

if TYPE_CHECKING:
    import pandas as pd

# Beside its folds' scores, what a search of scikit-learn writes down of each candidate.
SEARCH_COLUMNS = {
    "mean_fit_time": "a time",
    "std_fit_time": "the scatter of a time",
    "mean_score_time": "a time",
    "std_score_time": "the scatter of a time",
    "iter": "a round of the search",
    "n_resources": "what a round of the search spends",
}


def from_object(source: Any) -> Found:
    """The trials in an object; it is known by what it can do, so that no other package is imported."""
    if callable(getattr(source, "get_trials", None)) and hasattr(source, "directions"):
        return from_study(source)
    if hasattr(source, "param_grid") or hasattr(source, "param_distributions") or hasattr(source, "cv_results_"):
        return _from_search(source)
    if callable(getattr(source, "get_dataframe", None)):
        return _from_results(source)
    frame = _as_pandas(source)
    if frame is None:
        raise InputError(
            "trials come from a path, a URL, a DataFrame (pandas, polars or Arrow), an Optuna study, a fitted search "
            f"of scikit-learn or a ResultGrid of Ray, but got {type(source).__name__}; name one"
        )
    return Found(frame)


def _as_pandas(source: Any) -> pd.DataFrame | None:
    """A frame of polars, Arrow or another package as one of pandas; None if the object is no frame."""
    import pandas as pd

    if callable(getattr(source, "to_pandas", None)):
        try:
            frame = source.to_pandas()
        except ImportError:
            require("pyarrow", user="a frame of another package")
            raise
        return frame.reset_index(drop=True) if isinstance(frame, pd.DataFrame) else None
    if not hasattr(source, "__arrow_c_stream__"):
        return None
    require("pyarrow", user="a frame of another package")
    import pyarrow as pa

    frame = pa.table(source).to_pandas()
    return frame.reset_index(drop=True) if isinstance(frame, pd.DataFrame) else None


def _from_search(search: Any) -> Found:
    """A row for each candidate of a GridSearchCV, a RandomizedSearchCV or a halving search."""
    import pandas as pd

    results = getattr(search, "cv_results_", None)
    if not isinstance(results, Mapping):
        raise InputError(
            f"a search needs candidates that were scored, but this {type(search).__name__} has none; call its fit first"
        )
    candidates = [{name: _plain(value) for name, value in given.items()} for given in results["params"]]
    # The candidates say more than the columns param_*, where a setting that does not exist looks like None.
    settings = spread("param_", candidates)
    rest = {
        name: list(map(python_value, column))
        for name, column in results.items()
        if name != "params" and not name.startswith("param_")
    }
    scores = [name for name in rest if name.startswith("mean_test_")]
    chosen = f"mean_test_{search.refit}" if isinstance(getattr(search, "refit", None), str) else None
    goals = [chosen] if chosen is not None and chosen in scores else scores
    beside = {name: SEARCH_COLUMNS.get(name) or _told(name) for name in rest if name not in goals}
    return Found(
        pd.DataFrame(settings | rest),
        dict.fromkeys(goals, True),  # scikit-learn maximises every score
        stated=dict.fromkeys(settings),
        beside=beside,
    )


def _told(name: str) -> str:
    """What a column of a search's results is."""
    if name.startswith("rank_"):
        return "a rank"
    if name.startswith("std_"):
        return "the scatter of a score"
    return "a fold's score" if name.startswith("split") else "a score"


def _plain(value: Any) -> Any:
    """A candidate's setting; an object such as an estimator by its text, a function by its name."""
    value = python_value(value)
    if value is None or isinstance(value, bool | int | float | str | list | tuple):
        return value
    return getattr(value, "__qualname__", None) or str(value)


def _from_results(grid: Any) -> Found:
    """A row for each trial of a ResultGrid of Ray Tune, also for one that failed before its first result."""
    import pandas as pd

    results = list(grid) if hasattr(grid, "__getitem__") else []
    analysis = getattr(grid, "_experiment_analysis", None)
    trials = list(getattr(analysis, "trials", None) or [])
    if not results or not all(hasattr(result, "metrics") for result in results):
        frame = pd.DataFrame(grid.get_dataframe()).reset_index(drop=True)
        return Found(frame, stated={str(name): None for name in frame if str(name).startswith("config/")})
    metrics = [dict(result.metrics or {}) for result in results]
    # A trial that never reported does not say its own settings; the analysis behind the grid does.
    configs = [own.pop("config", None) for own in metrics]
    if len(trials) == len(results):
        configs = [own or trial.config for own, trial in zip(configs, trials, strict=True)]
    settings = spread("config/", [flat(own or {}, "/") for own in configs])
    columns = settings | spread("", [flat(own, "/") for own in metrics])
    columns["state"] = ["error" if result.error is not None else "terminated" for result in results]
    metric, mode = (getattr(analysis, name, None) for name in ("default_metric", "default_mode"))
    named = metric in columns and mode in ("min", "max")
    return Found(
        pd.DataFrame(columns),
        {str(metric): mode == "max"} if named else None,
        stated=dict.fromkeys(settings),
        beside=ray_bookkeeping(columns) | {"state": "how a trial ended"},
    )
