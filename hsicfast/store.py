"""Durable results: one file a trial, which is the truth, and the Optuna study over them, which is an index.

A run folder holds ``settings.json`` (what the run is), ``results/000012.json`` (what came of trial 12, written by
whoever trained it) and ``study.db`` (written by the parent alone, completed from the files whenever it lacks some).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError
from hsicfast.files import write_atomically
from hsicfast.samplers import distribution
from hsicfast.space import SearchSpace
from hsicfast.trials import DONE, PRUNED, STATUSES, Trial

RESULTS = "results"


def result_path(folder: Path, index: int) -> Path:
    """Where the result of trial `index` lies in a run folder."""
    return folder / RESULTS / f"{index:06d}.json"


def write_result(folder: Path, trial: Trial) -> Path:
    """Make the result of `trial` durable in the run folder `folder`; returns its file."""
    path = result_path(folder, trial.index)
    try:
        write_atomically(path, json.dumps(plain(asdict(trial)), indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"the run folder must be writable, but {path} gave: {_reason(error)}; make room") from error
    return path


def read_result(path: Path) -> Trial:
    """The trial in a result file; missing numbers are NaN.

    Raises
    ------
    InputError
        Where the file is not one whole result.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("objective", "cost"):
            content[name] = math.nan if content[name] is None else float(content[name])
        content["metrics"] = {key: math.nan if x is None else x for key, x in content["metrics"].items()}
        # A result of before there were curves has none.
        points = content.get("curve", ())
        content["curve"] = tuple((step, math.nan if value is None else float(value)) for step, value in points)
        trial = Trial(**{field.name: content[field.name] for field in fields(Trial)})
        whole = result_path(Path(), trial.index).name == path.name and isinstance(trial.params, dict)
        whole &= trial.status in STATUSES
        whole &= trial.status == PRUNED or math.isfinite(trial.objective) == (trial.status == DONE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"a result file must hold one whole trial, but {path} does not ({_reason(error)}); "
            "delete it and its trial runs again"
        ) from error
    if not whole:
        raise InputError(
            f"a result file must hold the trial it is named after, but {path} does not; delete it and its trial "
            "runs again"
        )
    return trial


def read_results(folder: Path) -> dict[int, Trial]:
    """Every trial with a result file in the run folder, by index."""
    # Six digits or more: a half-written file of a killed worker has another name.
    paths = sorted(path for path in (folder / RESULTS).glob("*.json") if path.stem.isdigit())
    return {trial.index: trial for trial in map(read_result, paths)}


def plain(value: Any) -> Any:
    """`value` in JSON's own types: NaN and inf become null, what JSON lacks becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if type(value).__repr__ is object.__repr__:  # it would show an address, another one in every process
        value = getattr(value, "__qualname__", type(value).__qualname__)
    return str(getattr(value, "__qualname__", value))


class Store:
    """The results of one run, in memory or in a run folder.

    Parameters
    ----------
    space : SearchSpace
        Of the trials.
    settings : mapping
        What the run is. A folder keeps to the settings it was started with.
    minimize : bool
        Direction of the objective.
    folder : Path, optional
        The run folder; without it results stay in memory.
    url : str, optional
        Optuna storage of the study; ``study.db`` in the run folder by default.

    Raises
    ------
    InputError
        A folder that cannot be written, or that belongs to a run with other settings; a broken result file; a
        study that cannot be opened.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: Mapping[str, Any],
        minimize: bool,
        folder: Path | None = None,
        url: str | None = None,
    ) -> None:
        self.folder = folder
        self.trials: dict[int, Trial] = {}
        self._study: _Study | None = None
        if folder is None:
            if url is not None:
                raise InputError("store= indexes the results of a run folder, but folder=None; pass folder= as well")
            return
        check_writable(folder / RESULTS)
        known = json.loads(json.dumps(plain(settings)))
        _keep_settings(folder / "settings.json", known)
        self.trials = read_results(folder)
        name = "hsicfast-" + hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
        self._study = _Study(space, minimize, name, folder, url)

    def add(self, trial: Trial) -> None:
        """Take up a trial that has ended, now or in an earlier run; its result file lies there already."""
        self.trials[trial.index] = trial
        if self._study is not None:
            self._study.add(trial)

    def close(self) -> None:
        """Let go of the study."""
        if self._study is not None:
            self._study.close()


def check_writable(folder: Path) -> None:
    """Create `folder` and raise an InputError unless a file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise InputError(
            f"the run folder must be writable, but {folder} gave: {_reason(error)}; pass another hydra.run.dir="
        ) from error


class _Study:
    """The Optuna study over the result files."""

    def __init__(self, space: SearchSpace, minimize: bool, name: str, folder: Path, url: str | None) -> None:
        import optuna
        import sqlalchemy.exc

        self._optuna, self._space = optuna, space
        self._distributions = {key: _named(optuna, space, key) for key in space}
        self._own = folder / "study.db" if url is None else None
        self._url = f"sqlite:///{self._own}" if url is None else url
        self._broken = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError)
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._storage = optuna.storages.RDBStorage(self._url, engine_kwargs=_engine(self._url))
            self._study = optuna.create_study(
                study_name=name,
                storage=self._storage,
                direction="minimize" if minimize else "maximize",
                load_if_exists=True,
            )
            self._known = {
                (trial.user_attrs.get("index"), trial.user_attrs.get("status"))
                for trial in self._study.get_trials(deepcopy=False)
            }
        except (*self._broken, RuntimeError) as error:
            raise self._explained(error) from error
        finally:
            optuna.logging.set_verbosity(before)

    def add(self, trial: Trial) -> None:
        """Index `trial` unless it is there."""
        if (trial.index, trial.status) in self._known:
            return
        states = self._optuna.trial.TrialState
        names = [key for key in self._space if key in trial.params]
        rest = {key: getattr(trial, key) for key in ("index", "seed", "origin", "status", "cost", "message", "metrics")}
        try:
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    state={DONE: states.COMPLETE, PRUNED: states.PRUNED}.get(trial.status, states.FAIL),
                    value=trial.objective if math.isfinite(trial.objective) else None,
                    params={key: _named_value(self._space, key, trial.params[key]) for key in names},
                    distributions={key: self._distributions[key] for key in names},
                    user_attrs=plain(rest),
                    intermediate_values=dict(trial.curve),
                )
            )
        except self._broken as error:
            raise self._explained(error) from error
        self._known.add((trial.index, trial.status))

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _explained(self, error: BaseException) -> InputError:
        if self._own is not None:
            return InputError(
                f"the study must be an Optuna database, but {self._own} cannot be used as one ({_reason(error)}); "
                "delete it and it is built again from the result files, which are whole"
            )
        if isinstance(error, ImportError):
            return InputError(
                f"store= needs the driver of its database, but it is not installed: {hide_password(self._url)}; "
                'run pip install "hsicfast[postgres]", or leave store= out'
            )
        # The database's own words may repeat the URL, hence its password: the kind of error must do.
        return InputError(
            f"store= must be the URL of a database that answers, but {hide_password(self._url)} gave "
            f"{type(error.__cause__ or error).__name__}; correct it, or leave store= out for a file in the run folder"
        )


def hide_password(url: str) -> str:
    """`url` as it may be shown to people."""
    import sqlalchemy.engine
    import sqlalchemy.exc

    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # What cannot be taken apart cannot be shown in part.
        return "a text that is no URL"


def _engine(url: str) -> dict[str, Any]:
    # SQLite lets one write at a time, the others wait; a server may have closed a connection left idle.
    return {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}


def _named(optuna: Any, space: SearchSpace, name: str) -> Any:
    choices = getattr(space[name], "choices", None)
    if choices is None:
        return distribution(space[name])
    return optuna.distributions.CategoricalDistribution([_named_value(space, name, choice) for choice in choices])


def _named_value(space: SearchSpace, name: str, value: Any) -> Any:
    """`value` as the study holds it: a choice that is no scalar goes by its name."""
    value = plain(value)
    return json.dumps(value) if isinstance(value, list | dict) else value


def _keep_settings(path: Path, settings: Mapping[str, Any]) -> None:
    if not path.exists():
        write_atomically(path, json.dumps(settings, indent=1) + "\n")
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        before, now = _flat(kept), _flat(settings)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the settings of a run must be readable, but {path} is not ({_reason(error)}); delete it if you are sure "
            "that this is the run, for every stored trial is checked as well"
        ) from error
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name, "absent"), now.get(name, "absent")
        if old != new:
            raise InputError(
                f"a run folder keeps the settings it was started with, but {name} was {old} and is {new} now in "
                f"{path.parent}; set it back, or pass another hydra.run.dir="
            )


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(settings, dict) and settings:
        flat: dict[str, Any] = {}
        for key, value in settings.items():
            flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
        return flat
    return {prefix: json.dumps(settings)}


def _reason(error: BaseException) -> str:
    """The innermost error in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
