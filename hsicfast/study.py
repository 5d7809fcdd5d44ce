"""The Optuna study over the result files: an index, written by the parent alone, built again from the files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError
from hsicfast.results import plain, reason, rebuild_command
from hsicfast.samplers import distribution
from hsicfast.space import SearchSpace
from hsicfast.trials import DONE, PRUNED, Trial

# What SQLite says where the database is whole, and the disk or somebody else stands in the way.
WITHOUT_FAULT = ("is full", "is locked", "readonly", "unable to open", "disk I/O error")


class Study:
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

    @property
    def indices(self) -> set[Any]:
        """Of the trials it holds."""
        return {index for index, _ in self._known}

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
        if self._own is not None and any(word in reason(error) for word in WITHOUT_FAULT):
            return InputError(
                f"the study must be writable, but {self._own} gave: {reason(error)}; make room, see that nobody else "
                "holds it, and run the same command again: the results are kept"
            )
        if self._own is not None:
            return InputError(
                f"the study must be an Optuna database, but {self._own} cannot be used as one ({reason(error)}); "
                f"`{rebuild_command(self._own.parent)}` sets it aside and builds it again from the result files"
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
