"""Reads trials from the folders that tools leave: runs of this package, Hydra, KerasTuner, Ray Tune, SMAC."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError, first_line
from hsicfast.files import parsed_json, parsed_yaml, read_json, read_small, read_table
from hsicfast.formats.found import PREFIX, READABLE, Found, flat, spread
from hsicfast.formats.records import read_history
from hsicfast.runs import history
from hsicfast.runs.folder import RESULTS, SETTINGS
from hsicfast.runs.results import read_result, result_files
from hsicfast.runs.settings import space_and_direction
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.trial import DESIGN, DIVERGED, DONE, LOST

if TYPE_CHECKING:
    from hsicfast.trials.trial import Trial

RESULT, HISTORY = "result.json", "runhistory.json"
MOST_NAMED = 3  # files that a note names
# What Ray writes down of a trial beside what its training reported.
RAY_COLUMNS = (
    *("trial_id", "experiment_id", "experiment_tag", "logdir", "checkpoint_dir_name", "done", "date", "timestamp"),
    *("time_this_iter_s", "time_total_s", "time_since_restore", "warmup_time", "pid", "hostname", "node_ip"),
    *("training_iteration", "iterations_since_restore", "timesteps_total", "timesteps_since_restore", "episodes_total"),
)
KERAS_WORDS = {"COMPLETED": DONE, "FAILED": DIVERGED, "INVALID": DIVERGED, "RUNNING": LOST, "IDLE": LOST}


def read_folder(folder: Path) -> Found:
    """The trials in a folder, whose files show which tool left it."""
    if (folder / SETTINGS).is_file() and (folder / RESULTS).is_dir():
        return _read_run(folder)
    readers: dict[str, Callable[[Path, list[Path]], Found]] = {
        "*/.hydra/overrides.yaml": _read_multirun,
        "trial_*/trial.json": _read_keras,
        HISTORY: lambda folder, files: read_history(read_json(files[0]), files[0]),
        f"*/{HISTORY}": lambda folder, files: read_history(read_json(files[0]), _only(folder, files)),
        "*/params.json": _read_ray,
    }
    for pattern, reader in readers.items():
        if files := sorted(folder.glob(pattern)):
            return reader(folder, files)
    raise InputError(
        f"a multirun folder holds jobs with .hydra/overrides.yaml, but {folder} has none, and no files of another "
        f"tool; name the folder above the trials, or {READABLE}"
    )


def _only(folder: Path, files: list[Path]) -> Path:
    if len(files) > 1:
        inside = [file.parent.name for file in files[:MOST_NAMED]]
        raise InputError(
            f"a folder of SMAC must hold one run, but {folder} holds {len(files)} ({', '.join(inside)}, ...); name one"
        )
    return files[0]


def _mapping(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError("it holds no mapping")
    return content


def _whole(
    paths: Iterable[Path], read: Callable[[Path], Any], what: str, rule: str
) -> tuple[dict[Path, Any], list[str]]:
    """What `read` finds behind each path that is whole, and a note that names the others; one must be whole."""
    found, broken = {}, {}
    for path in paths:
        try:
            found[path] = read(path)
        except (OSError, ValueError) as error:
            broken[path] = first_line(error)
    if broken and not found:
        path, reason = next(iter(broken.items()))
        raise InputError(f"{rule}, but {path}: {reason}; correct it")
    if not broken:
        return found, []
    named = "; ".join(f"{path.parent.name}/{path.name}: {why}" for path, why in [*broken.items()][:MOST_NAMED])
    more = f"; and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
    return found, [
        f"{len(broken)} of {len(broken) + len(found)} {what} cannot be read and are left out ({named}{more})."
    ]


def _read_run(folder: Path) -> Found:
    """The trials in a run folder of this package, which says everything about them."""
    import pandas as pd

    settled = history.read_history(folder)[-1].settings
    space, minimize = space_and_direction(settled)
    several = Objectives.of_settings(settled)
    maximized = (
        {name: not several.minimizes(name) for name in several.names} if several else {"objective": not minimize}
    )
    if not (files := result_files(folder)):
        raise InputError(f"a run needs trials that ended, but {folder} has none; wait for some, or run it")
    results, notes = _whole(files, read_result, "results", "a result file must hold one whole trial")
    trials: list[Trial] = sorted(results.values(), key=lambda trial: trial.index)
    settings = spread(PREFIX, [trial.params for trial in trials])
    columns = {name: settings[name] for name in (f"{PREFIX}{own}" for own in space) if name in settings}
    beside: dict[str, str] = {}
    for name, what in (("status", "how a trial ended"), ("origin", "what proposed a trial"), ("seed", "a seed")):
        columns[name], beside[name] = [getattr(trial, name) for trial in trials], what
    metrics = {
        name: column for name, column in spread("", [trial.metrics for trial in trials]).items() if name not in columns
    }
    columns |= metrics | {"objective": [trial.objective for trial in trials], "cost": [trial.cost for trial in trials]}
    searched = sum(trial.origin != DESIGN for trial in trials)
    if searched:
        notes.append(
            f"{searched} of the {len(trials)} trials were chosen by the run's search: what it chose and what came of "
            "it go together for that reason, too."
        )
    known = any(math.isfinite(trial.cost) for trial in trials)
    return Found(
        pd.DataFrame(columns, index=[trial.index for trial in trials]),
        maximized,
        stated={f"{PREFIX}{name}": _written(kind) for name, kind in space.items() if f"{PREFIX}{name}" in columns},
        beside=beside
        | dict.fromkeys(metrics, "another metric of the run")
        | {"cost": "what a trial costs"}
        | ({"objective": "the first of the objectives"} if several else {}),
        notes=tuple(notes),
        cost="cost" if known else None,
    )


def _written(kind: Hyperparameter) -> Hyperparameter:
    """A hyperparameter whose values are those of a frame, which has the text None for the value."""
    texts = {name: ["None" if v is None else v for v in values] for name, values in kind.conditions.items()}
    changed: dict[str, Any] = {"active_if": texts} if texts else {}
    if isinstance(kind, Choice):
        changed["choices"] = ["None" if value is None else value for value in kind.choices]
    return replace(kind, **changed)


def _read_multirun(folder: Path, jobs: list[Path]) -> Found:
    """A row for each job: its overrides, and the content of its result file; a job without one failed."""
    import pandas as pd

    def read(result: Path) -> Any:
        return read_json(result) if result.is_file() else {}

    rule = f"a job's {RESULT} must hold JSON"
    results, notes = _whole([job.parents[1] / RESULT for job in jobs], read, "jobs", rule)
    given = [_overrides(job) for job in jobs if job.parents[1] / RESULT in results]
    settings = spread(PREFIX, given)
    rows = [flat(found) if isinstance(found, dict) else {"objective": found} for found in results.values()]
    rest = pd.DataFrame([{name: own for name, own in row.items() if name not in settings} for row in rows])
    return Found(
        pd.concat([pd.DataFrame(settings, index=rest.index), rest], axis=1),
        stated=dict.fromkeys(settings),
        notes=tuple(notes),
    )


def _overrides(path: Path) -> dict[str, Any]:
    """What a job's overrides set, in Hydra's own grammar: `no` and `1:30` are texts, `null` is None."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        given = parsed_yaml(read_small(path)) or []
        if not isinstance(given, list):
            raise ValueError("they are no list")
        lines = [str(line) for line in given]
        overrides = OverridesParser.create().parse_overrides(lines)
    except (HydraException, ValueError, TypeError) as error:
        raise InputError(
            f"a job's overrides must be in Hydra's grammar, but {path}: {first_line(error)}; correct it"
        ) from error
    set_here = [own for own in overrides if not own.is_delete() and not own.is_hydra_override()]
    named = {own.get_key_element().lstrip("+"): own.value() for own in set_here}
    return flat({name: str(value) if hasattr(value, "tags") else value for name, value in named.items()})


def _read_keras(folder: Path, files: list[Path]) -> Found:
    """A row for each trial of KerasTuner."""
    import pandas as pd

    found, notes = _whole(files, _keras_trial, "trials", "a trial of KerasTuner must be whole")
    trials = list(found.values())
    settings = spread(PREFIX, [_hyperparameters(trial)["values"] for trial in trials])
    own = [name for name in settings if name.startswith(f"{PREFIX}tuner/")]  # the rounds of Hyperband
    columns = settings | {
        "score": [trial.get("score") for trial in trials],
        "status": [KERAS_WORDS.get(str(word), word) for word in (trial.get("status") for trial in trials)],
        "best_step": [trial.get("best_step") for trial in trials],
    }
    direction = _keras_direction(folder, trials)
    if direction is None:
        notes.append("KerasTuner's files do not say whether a large score is good; a small one counts as good.")
    kinds = _keras_kinds(trials)
    return Found(
        pd.DataFrame(columns),
        {"score": bool(direction)},
        stated={name: kinds.get(name.removeprefix(PREFIX)) for name in settings if name not in own},
        beside=dict.fromkeys(own, "the tuner's own")
        | {"status": "how a trial ended", "best_step": "the step of the best score"},
        notes=tuple(notes),
    )


def _keras_trial(path: Path) -> dict[str, Any]:
    trial = _mapping(path)
    if not isinstance(_hyperparameters(trial).get("values"), dict):
        raise ValueError("it has no values of hyperparameters")
    return trial


def _hyperparameters(trial: Mapping[str, Any]) -> dict[str, Any]:
    held = trial.get("hyperparameters")
    return held if isinstance(held, dict) else {}


def _keras_direction(folder: Path, trials: list[dict[str, Any]]) -> bool | None:
    """Whether a large score is good: as the oracle says, or as the metric that has the scores for its best values."""
    found, said = None, None
    with contextlib.suppress(OSError, ValueError):  # many versions write no objective, and some files are cut off
        oracle = read_json(folder / "oracle.json")
        found = oracle.get("objective") if isinstance(oracle, dict) else None
        said = found.get("direction") if isinstance(found, dict) else None
    metrics = [_keras_metrics(trial) for trial in trials if trial.get("score") is not None]
    scores = [trial["score"] for trial in trials if trial.get("score") is not None]
    if isinstance(found, dict) and said is None and metrics:
        said = metrics[0].get(str(found.get("name")), (None, None))[0]
    if said is None and metrics:
        # The best value over the steps of a trial is its score.
        fits = {
            metrics[0][name][0]
            for name in metrics[0]
            if all(_equal(own.get(name, (None, None))[1], score) for own, score in zip(metrics, scores, strict=True))
        }
        said = fits.pop() if len(fits) == 1 else None
    return {"max": True, "min": False}.get(str(said))


def _keras_metrics(trial: Mapping[str, Any]) -> dict[str, tuple[str | None, float | None]]:
    """For each metric of a trial its direction and its best value."""
    held = trial.get("metrics")
    metrics = held.get("metrics", {}) if isinstance(held, dict) else {}
    best: dict[str, tuple[str | None, float | None]] = {}
    for name, metric in metrics.items():
        with contextlib.suppress(AttributeError, KeyError, TypeError, ZeroDivisionError):  # it is no metric of numbers
            seen = [sum(entry["value"]) / len(entry["value"]) for entry in metric.get("observations") or ()]
            direction = metric.get("direction")
            best[name] = direction, (max(seen) if direction == "max" else min(seen)) if seen else None
    return best


def _equal(value: float | None, score: Any) -> bool:
    return value is not None and isinstance(score, int | float) and math.isclose(value, score, rel_tol=1e-9)


def _keras_kinds(trials: list[dict[str, Any]]) -> dict[str, Hyperparameter | None]:
    """The hyperparameters that the trials state, without those that exist under a condition."""
    kinds: dict[str, Hyperparameter | None] = {}
    for trial in trials:
        for entry in _hyperparameters(trial).get("space") or ():
            own = entry.get("config") or {}
            if own.get("name") not in kinds:
                kinds[str(own.get("name"))] = None if own.get("conditions") else _keras_kind(entry["class_name"], own)
    lacking = {name for name in kinds for trial in trials if name not in _hyperparameters(trial)["values"]}
    return {name: None if name in lacking else kind for name, kind in kinds.items()}


def _keras_kind(called: str, own: Mapping[str, Any]) -> Hyperparameter | None:
    low, high, log = own.get("min_value"), own.get("max_value"), own.get("sampling") == "log"
    step = None if log else own.get("step")  # with a logarithm, a factor
    try:
        if called == "Boolean":
            return Bool()
        if called == "Choice":
            return Choice(own["values"])
        if called == "Int" and own.get("sampling") != "reverse_log":
            return Int(low, high, log=log, step=step or 1)  # type: ignore[arg-type]
        if called == "Float" and own.get("sampling") != "reverse_log":
            return Float(low, high, log=log, step=step)  # type: ignore[arg-type]
    except (InputError, TypeError, KeyError):  # one value alone, or a step that a range has no room for
        return None
    return None


def _read_ray(folder: Path, files: list[Path]) -> Found:
    """A row for each trial of Ray Tune: its settings, its last result, and how it ended."""
    import pandas as pd

    found, notes = _whole(files, _mapping, "trials", "a trial of Ray must have its settings as JSON")
    states = _ray_states(folder)
    rows = [_last_result(path.parent) for path in found]
    settings = spread("config/", [flat(config, "/") for config in found.values()])
    # A result repeats the settings.
    results = [{name: own for name, own in row.items() if not f"{name}/".startswith("config/")} for row in rows]
    columns = settings | spread("", results)
    columns["state"] = [
        states.get(path.parent.name) or _ray_state(path.parent, row) for path, row in zip(found, rows, strict=True)
    ]
    beside = ray_bookkeeping(columns) | {"state": "how a trial ended"}
    return Found(pd.DataFrame(columns), stated=dict.fromkeys(settings), beside=beside, notes=tuple(notes))


def ray_bookkeeping(columns: Iterable[str]) -> dict[str, str]:
    """Those of `columns` that Ray writes by itself."""
    return {name: "Ray's bookkeeping" for name in columns if name in RAY_COLUMNS}


def _last_result(trial: Path) -> dict[str, Any]:
    """The last whole line of what a trial of Ray reported; nothing if it never did."""
    if (trial / RESULT).is_file():
        for line in reversed((trial / RESULT).read_text(encoding="utf-8").splitlines()):
            try:
                result = parsed_json(line)
            except ValueError:  # the process was killed while it wrote
                continue
            result = result if isinstance(result, dict) else {}
            return flat(result, "/")
    if (trial / "progress.csv").is_file():
        try:
            rows = read_table(trial / "progress.csv")
        except ValueError:  # an empty file
            return {}
        return {} if rows.empty else {str(name): own for name, own in rows.iloc[-1].to_dict().items()}
    return {}


def _ray_states(folder: Path) -> dict[str, str]:
    """How Ray says that its trials ended, by their folders; from its newest note of the experiment."""
    for path in sorted(folder.glob("experiment_state-*.json"), reverse=True):
        try:
            content = read_json(path)
            held = [entry if isinstance(entry, str) else entry[0] for entry in content.get("trial_data") or ()]
            trials = [parsed_json(text) for text in held]
            begun = [trial for trial in trials if trial.get("relative_logdir")]
            return {Path(trial["relative_logdir"]).name: str(trial["status"]).lower() for trial in begun}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):  # half written, or of an old Ray
            continue
    return {}


def _ray_state(trial: Path, row: Mapping[str, Any]) -> str:
    if any((trial / name).is_file() for name in ("error.txt", "error.pkl")):
        return "error"
    return "terminated" if row else "pending"
