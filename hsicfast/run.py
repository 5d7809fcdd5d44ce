"""The command that conducts a run: ``python -m hsicfast.run +task=runge``, or ``hsicfast +task=runge``.

1. Build the plan of the run from the configuration, and check it.
2. Train and analyse, round by round.
3. Train the chosen networks once more, and test them.
4. Write the report, and print it.

A run leaves ``best.yaml`` and ``economical.yaml``, which train what was chosen again:
``python -m hsicfast.run --config-dir RUN --config-name best``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import hydra
import hydra.errors
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from rich.console import Console
from rich.text import Text

from hsicfast.errors import InputError, first_line, writing
from hsicfast.files import jsonable, write_atomically
from hsicfast.runs.folder import AGAIN, PAGE, RESULTS, SETTINGS, STUDY, TRAINED
from hsicfast.sweeps.knobs import check_knobs, missing_name, nearest_knob, unknown_argument
from hsicfast.text import nearest, number, one_line

# As a shell reports a signal that ended a command: 128 and its number.
USER_ERROR, INTERRUPTED, SIGNALLED = 2, 130, 128
# The keys that a task must have, and those that it may leave out, with their defaults.
REQUIRED = ("name", "space", "evaluate", "n_trials")
OPTIONAL = {"metric": "objective", "test_metric": None, "cost": "cost", "minimize": True, "goal": "auto"}
OPTIONAL |= {"objectives": None}

_HERE = Path(__file__).resolve().parent
# CONF: in a repository the folder conf/ lies beside the package, in an installed wheel inside it.
CONF = next((str(path) for path in (_HERE / "conf", _HERE.parent / "conf") if path.is_dir()), str(_HERE / "conf"))

# The folders that this command makes for its run, the deepest first. They are removed if the run is refused.
_new_folders: list[Path] = []


class CheckFirst(Callback):
    """Refuse a run that cannot work before Hydra makes a folder for it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run: it has a task, its folder can be written, and no other run writes there."""
        from hsicfast.runs.lock import check_free
        from hsicfast.runs.store import check_resume, check_writable

        try:
            _check_task("task" in config)
            check_knobs(config, _knobs(), (*REQUIRED, *OPTIONAL))
            check_resume(config.resume, config.store)
            _check_passwords(config)
            HydraConfig.instance().set_config(config)  # the name of the folder may refer to it
            folder = Path(config.hydra.run.dir)
            check_free(folder)
            _new_folders[:] = _missing(folder)
            check_writable(folder)
        except (InputError, OmegaConfBaseException) as error:  # Hydra would warn, make the folder and go on
            _refuse(error)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a multirun: it has a task."""
        from hsicfast.runs.store import check_resume

        named = any(re.match(r"\+{0,2}task(@[^=]*)?=", override) for override in config.hydra.overrides.task)
        try:
            _check_task("task" in config or named)
            check_resume(config.resume, config.store)
            _check_passwords(config)
        except (InputError, OmegaConfBaseException) as error:
            _refuse(error)
        _name_folders(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Compare the runs of a multirun."""
        from hsicfast.sweeps.comparison_page import leave_comparison

        try:
            leave_comparison(Path(config.hydra.sweep.dir), Console())
        except InputError as error:
            _refuse(error)


def conduct(cfg: DictConfig) -> int:
    """Conduct one run as configured; returns the signal that interrupted it, or 0."""
    # These imports take long. They stand here so that --help, --cfg and a wrong task answer at once.
    from hsicfast.reading.known import known_trials
    from hsicfast.runs.progress import ProgressBar
    from hsicfast.search.finals import network_to_keep
    from hsicfast.search.ledger import Interrupted
    from hsicfast.search.orchestrator import execute
    from hsicfast.search.plan import RunPlan
    from hsicfast.search.run_report import check_report_tools, print_report, write_report
    from hsicfast.trials.objectives import Objectives

    folder = Path(HydraConfig.get().runtime.output_dir)
    check_knobs(cfg, _knobs(), (*REQUIRED, *OPTIONAL))
    task = _task(cfg)
    if cfg.params is not None:
        _train_once(cfg, task, folder)
        return 0
    title, metric, test_metric, cost = (task[key] for key in ("name", "metric", "test_metric", "cost"))
    goal = task["goal"] if cfg.goal is None else cfg.goal
    n_trials = task["n_trials"] if cfg.n_trials is None else cfg.n_trials
    # 1. Build the plan, which refuses wrong settings before data are loaded or trials are trained.
    check_report_tools()
    space, had = _made(cfg, "task.space"), cast(dict[str, Any], OmegaConf.to_container(cfg.had, resolve=True))
    several = Objectives.of(task["objectives"], space)
    plan = RunPlan(
        space=space,
        n_trials=n_trials,
        strategy=_made(cfg, "strategy"),
        seed=cfg.seed,
        goal=goal,
        direction="minimize" if task["minimize"] else "maximize",
        tolerance=cfg.tolerance,
        max_cost=cfg.max_cost,
        pruner=_made(cfg, "pruner") or None,  # pruner=none is an empty group
        repeats=cfg.repeats,
        resume=cfg.resume,
        timeout=cfg.timeout,
        stop=cfg.stop,
        known=known_trials(_sources(cfg), space, task["minimize"], had),
        had=had,
        objectives=several,
    )
    executor, evaluate = _made(cfg, "executor"), _made(cfg, "task.evaluate")
    # 2. Train and analyse, round by round.
    with ProgressBar(Console(stderr=True), metric, plan.minimize, plan.max_cost, several) as progress:
        own = ("space", "n_trials", "goal", "objectives")  # which the plan describes
        settings = {"task": {key: value for key, value in task.items() if key not in own}}
        number = 0
        try:
            result = execute(
                plan, evaluate, executor, folder=folder, store=cfg.store, settings=settings, watcher=progress
            )
        except Interrupted as stop:
            if stop.result is None:
                raise
            result, number = stop.result, stop.number
    # 3. Train the chosen networks once more from their best seeds, and test them. The test metric is read only now,
    #    because no choice is left that it could influence.
    chosen = {"best": result.best}
    if result.economical.index != result.best.index:
        chosen["economical"] = result.economical
    saved = chosen if hasattr(evaluate, "save_best") and not result.interrupted else {}
    tests: dict[int, float] = {}
    for name, trial in saved.items():
        Console(stderr=True).print(Text(f"the {name} network is trained once more, and tested"), soft_wrap=True)
        seed = network_to_keep(result.trials, trial).seed
        again = evaluate.save_best(trial.params, seed, folder / name) or {}
        if "test" in again:
            tests[trial.index] = again["test"]
    # 4. Write the report, and print it.
    console = Console()
    names = {"title": title, "metric": metric, "test_metric": test_metric, "cost": cost}
    for name, trial in (("best", result.best), ("economical", result.economical)):
        _write_again(cfg, folder, name, trial.params, network_to_keep(result.trials, trial).seed)
    write_report(folder, result, **names, tests=tests, planned=n_trials)
    print_report(result, console, **names, tests=tests)
    for name, trial in saved.items():
        test = f"; its {test_metric}: {tests[trial.index]:.4g}" if test_metric and trial.index in tests else ""
        console.print(Text(f"{name} network: {folder / name / 'network.pt'}{test}"), soft_wrap=True)
    console.print(Text(f"everything is in {folder}; the page: {folder / PAGE}"), soft_wrap=True)
    return number


def _write_again(cfg: DictConfig, folder: Path, name: str, params: dict[str, Any], seed: int) -> None:
    """Write the file of the command that trains a chosen configuration again: the task as it was, and its values."""
    parts = {part: OmegaConf.to_container(cfg[part], resolve=False) for part in ("task", "trainer")}
    content = {"defaults": ["config", "_self_"], **parts, "params": jsonable(params), "seed": seed}
    command = shlex.join(["python", "-m", "hsicfast.run", "--config-dir", str(folder), "--config-name", name])
    with writing("the folder of a report", folder / AGAIN[name], "make room, the results of the trials are kept"):
        write_atomically(folder / AGAIN[name], f"# {command}\n{OmegaConf.to_yaml(content)}")


def _train_once(cfg: DictConfig, task: dict[str, Any], folder: Path) -> None:
    """Train the configuration `cfg.params` with the seed of `cfg`; print and write what it reached."""
    from hsicfast.training.worker import Job, accepts_seed, run_trial
    from hsicfast.trials.objectives import Objectives
    from hsicfast.trials.trial import DONE, SEARCH

    several = Objectives.of(task["objectives"])
    job = partial(Job, 0, objectives=several.names if several else ())
    evaluate, params = _made(cfg, "task.evaluate"), cast(dict[str, Any], OmegaConf.to_container(cfg.params))
    if hasattr(evaluate, "save_best"):
        again = partial(evaluate.save_best, folder=folder)
        trained = run_trial(again, True, job(params, cfg.seed, SEARCH), folder=None)
    else:
        trained = run_trial(evaluate, accepts_seed(evaluate), job(params, cfg.seed, SEARCH), folder=None)
    if trained.status != DONE:
        raise InputError(f"a configuration must train to its end, but got {trained.message}; change params= or seed=")
    write_atomically(folder / TRAINED, json.dumps(jsonable(asdict(trained)), indent=2, allow_nan=False) + "\n")
    main = {name: trained.metrics[name] for name in several.names} if several else {task["metric"]: trained.objective}
    reached = main | {task["test_metric"]: trained.metrics.get("test")}
    reached[task["cost"]] = trained.cost
    texts = [f"{name} {number(value)}" for name, value in reached.items() if name is not None and value is not None]
    Console().print(Text(f"{', '.join(texts)}; everything is in {folder}"), soft_wrap=True)


def _conduct_and_exit(cfg: DictConfig) -> None:
    """Conduct a run, print an error in one line, and set the exit status."""
    from hsicfast.search.ledger import Interrupted

    try:
        number = conduct(cfg)
    except Interrupted as error:
        _refuse(error, SIGNALLED + error.number)
    except (InputError, OmegaConfBaseException) as error:
        _refuse(error)
    except KeyboardInterrupt:
        folder = HydraConfig.get().runtime.output_dir
        _refuse(f"stopped at once; the results so far stay in {folder}: hydra.run.dir={folder} goes on", INTERRUPTED)
    if number:
        sys.exit(SIGNALLED + number)


_hydra_main = hydra.main(config_path=CONF, config_name="config", version_base="1.3")(_conduct_and_exit)


def main() -> None:
    """Run the command."""
    # This process imports torch for the proposals of a Gaussian process. On busy cores a proposal takes 20 times longer
    # with one thread for each core. A trial that trains in this process takes its number of threads from `trainer`.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # With this variable Hydra raises its errors; without it, it prints them with advice of its own.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _new_folders.clear()
    # As `python -m` does: the modules of a project are found from its folder, by the console script as well.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        _hydra_main()
    except hydra.errors.MissingConfigException as error:
        _refuse(_not_among_the_options(error))
    except hydra.errors.ConfigCompositionException as error:
        meant = nearest_knob(error)
        _refuse(f"{str(error).splitlines()[0].rstrip('.')}; {meant}" if meant else error)
    except (hydra.errors.HydraException, OmegaConfBaseException) as error:
        _refuse(error)
    except KeyboardInterrupt:
        _refuse("stopped before anything ran", INTERRUPTED)


def _task(cfg: DictConfig) -> dict[str, Any]:
    """The task as plain data, with the defaults of the keys that it leaves out."""
    task = OPTIONAL | cast(dict[str, Any], OmegaConf.to_container(cfg.task, resolve=True))
    missing = [key for key in REQUIRED if task.get(key) is None]
    if missing:
        raise InputError(f"a task must say {', '.join(REQUIRED)}, but this one lacks {', '.join(missing)}; add them")
    return task


def _sources(cfg: DictConfig) -> Any:
    """The sources of known trials, as :func:`hsicfast.reading.known.known_trials` takes them."""
    from hsicfast.reading.known import Known

    plain = OmegaConf.to_container(cfg, resolve=True)
    given = cast(dict[str, Any], plain)["known"]
    listed = given if isinstance(given, list) else [given] if given is not None else []
    try:
        return [Known(**source) if isinstance(source, dict) else source for source in listed]
    except TypeError as error:
        raise InputError(
            f"an entry of known= has the fields of hsicfast.Known, but {first_line(error)}; correct it"
        ) from error


def _check_passwords(config: DictConfig) -> None:
    """Raise an InputError if the configuration, which Hydra keeps in the run's folder, holds a password."""
    from hsicfast.urls import checked_url, shown_url, texts_with_secrets

    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    held = {key: value for key, value in plain.items() if key != "hydra"}
    for key, _, values in (override.partition("=") for override in plain["hydra"]["overrides"]["task"]):
        held[key.lstrip("+~")] = values.split(",")  # a multirun has several values for a key
    for key, url in texts_with_secrets(held):
        raise InputError(
            f"{key}= must hold no password, as the configuration is kept in the run's folder, but got "
            f"{shown_url(url)}; put the URL into a variable and pass {key}='${{oc.env:ITS_NAME}}', or the "
            "password into PGPASSWORD"
        )
    if plain["store"] is not None and not str(plain["store"]).startswith("${"):
        checked_url(plain["store"])


def _check_task(named: bool) -> None:
    """Raise an InputError unless a task is `named`."""
    if not named:
        options = GlobalHydra.instance().config_loader().get_group_options("task")
        raise InputError(f"a run needs a task, but got none; add +task= one of {', '.join(sorted(options))}")


def _made(cfg: DictConfig, key: str) -> Any:
    """The object that the configuration at `key` describes."""
    try:
        return instantiate(OmegaConf.select(cfg, key), _convert_="all")
    except hydra.errors.InstantiationException as error:
        cause: BaseException = error
        # Hydra wraps an error once for each level of the configuration; the innermost one is that of the target.
        while isinstance(cause, hydra.errors.HydraException) and cause.__cause__ is not None:
            cause = cause.__cause__
        # Hydra names the key of the error in its last line; our message begins with it.
        found = re.search(r"full_key: (\S+)", str(error))
        place = found[1] if found else key
        target = OmegaConf.select(cfg, f"{place}._target_", throw_on_missing=False)
        if isinstance(cause, ImportError) and target is not None:
            raise InputError(missing_name(place, str(target))) from error
        if not isinstance(cause, ValueError | TypeError | FileNotFoundError | hydra.errors.HydraException):
            raise
        meant = unknown_argument(target, cause) if isinstance(cause, TypeError) else ""
        said = str(cause).partition(". Did you mean ")[0] if meant else cause  # Python guesses, too, from 3.13 on
        raise InputError(f"{place}: {said}{meant}") from error


def _not_among_the_options(error: hydra.errors.MissingConfigException) -> str:
    """The message for a name that its configuration group does not have."""
    group, _, name = str(error.missing_cfg_file or "").rpartition("/")
    if not (group and error.options):
        return str(error)
    meant = nearest(name, error.options, "choose one of them")
    return f"{group} must be one of {', '.join(sorted(error.options))}, but got {name}; {meant}"


def _knobs() -> list[str]:
    """The keys that this command reads: those of its own configuration, and the task."""
    own = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(Path(CONF) / "config.yaml")))
    groups = [group for entry in own.pop("defaults") if isinstance(entry, dict) for group in entry]
    return ["task", *groups, *own]


def _name_folders(config: DictConfig) -> None:
    """Name the folders of a multirun by what differs between its runs, unless the command names them."""
    from hsicfast.sweeps.comparison import folder_name

    own = config.hydra.overrides
    loader = GlobalHydra.instance().config_loader()
    # Unresolved: a pattern of somebody's own refers to the number of a job, which there is none yet.
    words = cast(dict[str, Any], OmegaConf.to_container(own, resolve=False))
    if not any(word.startswith("hydra.sweep.subdir=") for word in words["hydra"]):
        name = folder_name(words["task"], [group for group in loader.list_groups("") if group != "hydra"])
        if name is not None:
            with read_write(config), open_dict(config):
                # Each job is composed anew, of these overrides and its own.
                own.hydra.append(f"hydra.sweep.subdir='{name}'")


def _missing(folder: Path) -> list[Path]:
    """The folders that do not exist yet among `folder` and its parents, the deepest first."""
    return [path.absolute() for path in (folder, *folder.parents) if not path.exists()]


def _remove_new_folders() -> None:
    """Remove the folders that were made for a refused run, unless they hold results."""
    if not _new_folders:
        return
    folder, *above = _new_folders
    ours = {".hydra", SETTINGS, STUDY, RESULTS}
    made = {path.name for path in folder.glob("*") if path.suffix != ".log" or path.stat().st_size}
    if made <= ours and not any((folder / RESULTS).glob("*")):
        shutil.rmtree(folder, ignore_errors=True)
        for path in above:
            with suppress(OSError):  # another run is in there already
                path.rmdir()


def _refuse(error: BaseException | str, code: int = USER_ERROR) -> NoReturn:
    """Print an error in one line, and exit with `code`."""
    if code == USER_ERROR:
        _remove_new_folders()
    # An error of Hydra has several lines that matter. OmegaConf adds lines about its objects, which are left out.
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    text = "; ".join(line for line in lines if not line.startswith(("object_type", "full_key", "reference_type")))
    if isinstance(error, InterpolationKeyError) and error.full_key:
        text += f"; correct {error.full_key}, which refers to it"
    Console(stderr=True).print(Text(one_line(text)), soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
