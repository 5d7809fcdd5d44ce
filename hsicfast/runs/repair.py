"""Check a run folder; set broken files aside and build its study again from the result files."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsicfast.errors import InputError, RunError, first_line, unwritable
from hsicfast.files import jsonable, numbered, parsed_json, put_aside
from hsicfast.runs.folder import BROKEN, LOCK, REPORT_FILES, RESULTS, SETTINGS, STUDY
from hsicfast.runs.history import Chapter, index_name, joined, read_history
from hsicfast.runs.lock import SILENCE, Lock, look
from hsicfast.runs.results import first_of, kept_states, read_result, result_files
from hsicfast.runs.settings import FORMAT, NewerFormat
from hsicfast.runs.study import Study, values_of
from hsicfast.space.hyperparameters import Hyperparameter
from hsicfast.text import clip
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.trial import LOST, Trial

if TYPE_CHECKING:
    import optuna

# A line names up to MOST_NAMED trials or files.
MOST_NAMED = 10


@dataclass(frozen=True)
class FolderCheck:
    """One thing in a run folder, its state in words, and whether it is whole."""

    what: str
    state: str
    whole: bool = True


def inspect_run(folder: Path, elsewhere: bool = False) -> list[FolderCheck]:
    """Check each thing in a run folder; nothing is changed.

    Parameters
    ----------
    folder : Path
        The run folder.
    elsewhere : bool
        Whether its study is in another storage, which is not checked.

    Raises
    ------
    InputError
        If `folder` is no run folder, or of a newer format.
    """
    _check_run(folder)
    seen = look(folder)
    live = seen is not None and seen.alive
    kept, settings = _settings(folder)
    trials, broken = _results(folder, kept)
    lock = FolderCheck(LOCK, "nobody writes in the folder" if seen is None else seen.text)
    checks = [settings, lock, *_check_results(trials, broken, live, kept)]
    if not elsewhere:
        checks.append(_check_study(folder, kept, trials, live))
    return [*checks, _check_leftovers(folder), _check_report(folder)]


def rebuild(folder: Path, elsewhere: bool = False) -> list[str]:
    """Set aside in ``broken/`` what is broken in a run folder, and build its study from the result files.

    Parameters
    ----------
    folder : Path
        The run folder.
    elsewhere : bool
        Whether its study is in another storage; then none is built here.

    Returns
    -------
    list of str
        What was done, in words; empty if everything was whole.

    Raises
    ------
    RunError
        If `folder` is held by a live writer, or cannot be written.
    InputError
        If `folder` is no run folder, or of a newer format.
    """
    _check_run(folder)
    try:
        with Lock(folder):
            return list(_rebuilt(folder, numbered(folder / BROKEN), elsewhere))
    except OSError as error:
        where = error.filename or folder
        raise unwritable("a run folder that is rebuilt", where, error, "make room, or pass a copy of it") from error


def _rebuilt(folder: Path, aside: Path, elsewhere: bool) -> Iterator[str]:
    # 1. Files that cannot be read are set aside.
    kept, settings = _settings(folder)
    if not settings.whole:
        state = settings.state
        if (folder / SETTINGS).exists():
            put_aside(folder / SETTINGS, folder, aside)
            state = f"was set aside: {state}"
        yield f"{SETTINGS} {state}; the run's command writes it again, and sees to the study"
    trials, broken = _results(folder, kept)
    for path, why in broken.items():
        put_aside(path, folder, aside)
        yield f"{RESULTS}/{path.name} was set aside: {why}; the run's command trains its trial again"
    # 2. The study is an index over the rest.
    if kept is not None and not elsewhere:
        fault = _study_fault(folder, kept, trials)
        if fault and (folder / STUDY).exists():
            for path in _database(folder):
                put_aside(path, folder, aside)
            yield f"{STUDY} was set aside: {fault}"
        if fault:
            _build_study(folder, kept, trials)
            yield f"{STUDY} was built from {len(trials)} results"
    # 3. Half-written files of dead processes are of no use.
    for path in _leftovers(folder):
        path.unlink(missing_ok=True)
        yield f"{path.relative_to(folder)} was removed: a dead writer left it"


def _check_run(folder: Path) -> None:
    if not (folder / SETTINGS).is_file() and not (folder / RESULTS).is_dir():
        raise InputError(
            f"a run folder holds {SETTINGS} and {RESULTS}/, but {folder} holds neither; name the folder that the run "
            "said everything is in"
        )


def _settings(folder: Path) -> tuple[list[Chapter] | None, FolderCheck]:
    """The chapters of the run, the latest last; None if they cannot be read."""
    if not (folder / SETTINGS).exists():
        return None, FolderCheck(SETTINGS, "is missing", False)
    try:
        kept = read_history(folder)
    except NewerFormat:
        raise
    except InputError as error:
        return None, FolderCheck(SETTINGS, f"cannot be read ({first_line(error)})", False)
    return kept, FolderCheck(SETTINGS, f"format {FORMAT}, study {index_name(kept, shared=False)}")


def _results(folder: Path, kept: Sequence[Chapter] | None) -> tuple[dict[int, Trial], dict[Path, str]]:
    """The trials in the whole result files by index, and for each broken file the reason.

    A trial with a value that no chapter's space has could not be analysed.
    """
    space: Mapping[str, Hyperparameter] = {}
    with suppress(InputError):  # the settings are broken, which is said elsewhere
        space = joined(kept)[0] if kept else space
    trials: dict[int, Trial] = {}
    broken: dict[Path, str] = {}
    for path in result_files(folder):
        try:
            trial = read_result(path)
            for name, value in trial.params.items():
                if name in space and trial.status != LOST and not space[name].contains(value):
                    raise InputError(f"its {name!r} is {clip(repr(value))}, which is no value of the space")
            trials[trial.index] = trial
        except InputError as error:
            broken[path] = first_line(error)
    return trials, broken


def _check_results(
    trials: Mapping[int, Trial], broken: Mapping[Path, str], live: bool, kept: Sequence[Chapter] | None
) -> list[FolderCheck]:
    counts = Counter(trial.status for trial in trials.values())
    kinds = ", ".join(f"{count} {status}" for status, count in counts.items())
    checks = [FolderCheck(RESULTS, f"{len(trials)} whole" + (f" ({kinds})" if kinds else ""))]
    checks += [FolderCheck(f"{RESULTS}/{path.name}", f"is broken: {why}", False) for path, why in broken.items()]
    there = {*trials, *(int(path.stem) for path in broken)}
    # A later chapter has done without the trials that were missing when it was opened.
    gaps = sorted(set(range(max(there, default=-1))) - there - {*(hole for own in kept or () for hole in own.holes)})
    if gaps and not live:  # a run that goes on has trials in flight
        checks.append(FolderCheck(RESULTS, f"{_named(gaps)} missing; the run's command trains them", False))
    return checks


def _check_study(folder: Path, kept: Sequence[Chapter] | None, trials: Mapping[int, Trial], live: bool) -> FolderCheck:
    if live:
        return FolderCheck(STUDY, "is being written, and was not looked at")
    if kept is None:
        return FolderCheck(STUDY, f"cannot be judged without {SETTINGS}", False)
    fault = _study_fault(folder, kept, trials)
    return FolderCheck(STUDY, fault or f"holds each of the {len(trials)} results once", not fault)


def _study_fault(folder: Path, kept: Sequence[Chapter], trials: Mapping[int, Trial]) -> str:
    """What is wrong with the study, in words; we open a copy, because Optuna and SQLite write to what they read."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    if not (folder / STUDY).exists():
        return "is missing"
    with _copied(folder) as copy:
        try:
            found = None if (fault := _sqlite_fault(copy)) else _loaded(copy, index_name(kept, shared=False))
            return fault or _index_fault(found, trials, _objectives(kept))
        except (sqlite3.Error, SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError) as error:
            return f"cannot be read ({first_line(error)})"
        except (ValueError, TypeError, KeyError) as error:  # a row holds no JSON, no state or no date
            return f"holds what Optuna did not write ({type(error).__name__})"


@contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="hsicfast-"))
            for path in _database(folder):
                shutil.copy(path, temporary)
        except OSError as error:
            raise RunError(
                f"a study is looked at as a copy, but copying {folder / STUDY} gave: {first_line(error)}; make room "
                f"for it in {tempfile.gettempdir()}, or set TMPDIR"
            ) from error
        yield Path(temporary) / STUDY


def _database(folder: Path) -> list[Path]:
    """The files of the study's database; a journal undoes the write that its writer had not finished when it died."""
    return [path for path in (folder / f"{STUDY}{end}" for end in ("", "-journal", "-wal", "-shm")) if path.exists()]


def _sqlite_fault(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        (first,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    finally:
        connection.close()
    if first != "ok":
        return f"is a broken database ({str(first).splitlines()[-1]})"
    return "" if {"studies", "trials"} <= tables else "is no Optuna database"


def _loaded(path: Path, name: str) -> list[optuna.trial.FrozenTrial] | None:
    """The ended trials of the study `name`; None if there is no such study."""
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    try:
        if name not in [study.study_name for study in storage.get_all_studies()]:
            return None
        study = optuna.load_study(study_name=name, storage=storage)
        states = optuna.trial.TrialState
        return study.get_trials(deepcopy=False, states=(states.COMPLETE, states.FAIL, states.PRUNED))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _objectives(kept: Sequence[Chapter]) -> Objectives | None:
    """The objectives of a run that has several; every chapter has the same."""
    return Objectives.of_settings(kept[-1].settings)


def _index_fault(
    found: Sequence[optuna.trial.FrozenTrial] | None, trials: Mapping[int, Trial], objectives: Objectives | None
) -> str:
    if found is None:
        return "holds no study of these settings"
    times = Counter(int(frozen.user_attrs.get("index", -1)) for frozen in found)
    lacking = sorted(set(trials) - set(times))
    foreign = sum(index not in trials for index in times)
    twice = sorted(index for index, count in times.items() if count > 1 and index in trials)
    index_of = [(frozen, trials.get(int(frozen.user_attrs.get("index", -1)))) for frozen in found]
    others = [
        trial.index for frozen, trial in index_of if trial is not None and not _is_index_of(frozen, trial, objectives)
    ]
    faults = [
        f"lacks {_named(lacking)}" if lacking else "",
        f"holds {_named(twice)} more than once" if twice else "",
        f"holds {_named(others)} otherwise than the result file" if others else "",
        f"holds {foreign} without a result file" if foreign else "",
    ]
    return ", ".join(filter(None, faults))


def _is_index_of(frozen: optuna.trial.FrozenTrial, trial: Trial, objectives: Objectives | None) -> bool:
    """Whether a trial of the study agrees with the result file."""
    attributes = {key: value for key, value in frozen.user_attrs.items() if hasattr(trial, key)}
    # The study stores a choice that is no scalar under its name.
    params = jsonable(trial.params)
    return (
        frozen.values == values_of(trial, objectives)
        and attributes == {key: jsonable(getattr(trial, key)) for key in attributes}
        and frozen.params.keys() == params.keys()
        and all(value in (params[name], json.dumps(params[name])) for name, value in frozen.params.items())
        and jsonable(frozen.intermediate_values) == jsonable(dict(trial.curve))
    )


def _build_study(folder: Path, kept: Sequence[Chapter], trials: Mapping[int, Trial]) -> None:
    space, minimize = joined(kept)
    study = Study(space, minimize, index_name(kept, shared=False), folder, None, _objectives(kept))
    try:
        for index in sorted(trials):
            study.add(trials[index])
    finally:
        study.close()


def _leftovers(folder: Path) -> list[Path]:
    """Half-written files of dead writers, and checkpoints of trials and groups that have a result."""
    parts = sorted(path for path in folder.rglob(".*.part") if _is_left(path))
    ended = {int(path.stem) for path in result_files(folder)}
    return parts + sorted(path for path in kept_states(folder) if first_of(path) in ended)


def _is_left(part: Path) -> bool:
    """Whether a half-written file is ours and nobody is about to finish it."""
    import psutil

    # A training's checkpoint has no token behind the process: `.000012.ckpt.4711.part`.
    named = re.fullmatch(r"\..+?\.(\d+)(?:\.[0-9a-f]+)?\.part", part.name)
    if named is None:
        return False
    try:
        silent = time.time() - part.stat().st_mtime
    except FileNotFoundError:  # its writer has just finished it
        return False
    return silent > SILENCE or not psutil.pid_exists(int(named[1]))


def _check_leftovers(folder: Path) -> FolderCheck:
    left = [str(path.relative_to(folder)) for path in _leftovers(folder)]
    return FolderCheck("leftovers", f"{', '.join(left[:MOST_NAMED])}: {len(left)} in all, harmless" if left else "none")


def _check_report(folder: Path) -> FolderCheck:
    there = [name for name in REPORT_FILES if (folder / name).exists()]
    if not there:
        return FolderCheck("report", "none yet")
    faults = [f"{name} is missing" for name in REPORT_FILES if name not in there]
    faults += [f"{name} is broken" for name in there if not _is_report(folder / name)]
    return FolderCheck(
        "report", "; ".join([*faults, "the run's command writes it again"]) if faults else "whole", not faults
    )


def _is_report(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
        return bool(parsed_json(text) if path.suffix == ".json" else text)
    except (OSError, ValueError):
        return False


def _named(indices: Sequence[int]) -> str:
    more = f" and {len(indices) - MOST_NAMED} more" if len(indices) > MOST_NAMED else ""
    return f"trial {', '.join(map(str, indices[:MOST_NAMED]))}{more}"
