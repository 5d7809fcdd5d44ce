"""The command for trials somebody already has: ``python -m hsicfast.analyze trials.csv --objective val_error``.

1. read the trials  2. guess the space, or read it  3. analyse by ranks  4. say what matters and how sure that is
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from hsicfast.errors import InputError
from hsicfast.guess import Guess, guess_space, read_space, write_space
from hsicfast.report import decides, print_indices, print_pairs, print_table
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.trials import DIVERGED, TrialTable

if TYPE_CHECKING:
    import pandas as pd

USER_ERROR, INTERRUPTED = 2, 130
RESULT = "result.json"
ADAPTIVE = (
    "A study does not say how its trials were drawn: where its sampler was adaptive (TPE, Gaussian process, ...), what "
    "it chose and what came of it go together for that reason, too."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the command."""
    options = _options(arguments)
    try:
        frame, minimize = read_frame(options.source, options.study)
        if options.maximize or options.minimize:
            minimize = options.minimize
        objective = _column(frame, options.objective, "objective")
        beside = [name for name in (objective, options.cost) if name]
        guess = guess_space(frame, beside)
        if options.save_space:
            write_space(guess, options.save_space)
        sensitivity = _analysed(frame, guess, objective, minimize, options)
    except InputError as error:
        Console(stderr=True).print(Text(str(error)), soft_wrap=True)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped before the analysis ended")
        sys.exit(INTERRUPTED)
    console = Console()
    _print_guess(console, guess, options)
    _print_findings(console, sensitivity, options)
    if "://" in options.source:
        console.print(Text(ADAPTIVE))


def read_frame(source: str, study: str | None = None) -> tuple[pd.DataFrame, bool]:
    """Trials as a frame, and whether a small objective is good.

    Parameters
    ----------
    source : str
        A CSV or Parquet file; the URL of an Optuna storage such as ``sqlite:///study.db``; or the folder of a Hydra
        multirun, each of whose jobs left a `RESULT`: a number, or a mapping with the objective and what else it found.
    study : str, optional
        Name of the study in that storage; not needed where there is one.

    Raises
    ------
    InputError
        What cannot be read, with the reason; a study that is not there.
    """
    if "://" in source:
        return _study_frame(source, study)
    path = Path(source)
    if path.is_dir():
        return _multirun(path), True
    if not path.is_file():
        raise InputError(f"trials are read from a file, a folder or a URL, but {source} is none; check the path")
    frame = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    if len(frame) == 0:
        raise InputError(f"a table of trials needs rows, but {source} has none; run some trials first")
    return frame, True


def _csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        names = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].tolist()
        frame = pd.read_csv(path, skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"a CSV file needs a line of names and a row a trial, but {path}: {_last_words(error)}; correct it"
        ) from error
    doubled = sorted({str(name) for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"every column needs a name of its own, but {path} has {doubled} more than once; rename them")
    if pd.to_numeric(pd.Series(names), errors="coerce").notna().all():
        raise InputError(
            f"the first line of a CSV file must name its columns, but {path} begins with {names}; add names"
        )
    return frame


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise InputError("a Parquet file needs pyarrow, but it is not installed; run pip install pyarrow") from error
    except (OSError, ValueError) as error:
        raise InputError(f"a Parquet file must be whole, but {path}: {_last_words(error)}; write it again") from error


def _multirun(folder: Path) -> pd.DataFrame:
    """A row a job: its overrides, and what its result file says; a job without one failed."""
    import pandas as pd
    import yaml

    rows = []
    for overrides in sorted(folder.glob("*/.hydra/overrides.yaml")):
        given = [str(text).lstrip("+").partition("=") for text in yaml.safe_load(overrides.read_text()) or ()]
        # Named as Optuna names them, so that what the result says is not taken for a hyperparameter.
        row = {f"params_{name}": yaml.safe_load(value) for name, _, value in given if not name.startswith("~")}
        result = overrides.parents[1] / RESULT
        if result.is_file():
            try:
                found = json.loads(result.read_text())
            except ValueError as error:
                raise InputError(f"a job's {RESULT} must hold JSON, but {result}: {error}; correct it") from error
            row |= found if isinstance(found, dict) else {"objective": found}
        rows.append(row)
    if not rows:
        raise InputError(
            f"a multirun folder holds jobs with .hydra/overrides.yaml, but {folder} has none; name the one above them"
        )
    return pd.DataFrame(rows)


def _study_frame(url: str, name: str | None) -> tuple[pd.DataFrame, bool]:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    from hsicfast.store import hide_password

    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///").split("?")[0]).is_file():
        raise InputError(f"an Optuna storage must exist, but there is no file behind {url}; check the path")
    try:
        names = [summary.study_name for summary in optuna.get_all_study_summaries(url, include_best_trial=False)]
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            wanted = f"there is no {name!r}" if name else f"it holds {len(names)}"
            raise InputError(f"--study must name a study of the storage, but {wanted}; choose one of {names}")
        study = optuna.load_study(study_name=name, storage=url)
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"an Optuna storage must be readable, but {hide_password(url)} gave: {reason}; check it with optuna studies"
        ) from error
    kept = ("COMPLETE", "FAIL")
    frame = study.trials_dataframe(
        attrs=("number", "value" if len(study.directions) == 1 else "values", "params", "state")
    )
    frame = frame[frame["state"].isin(kept)].reset_index(drop=True)
    if len(frame) == 0:
        raise InputError(f"a study needs finished trials, but {name!r} has none; run some first")
    return frame, study.directions[0] == optuna.study.StudyDirection.MINIMIZE


def _last_words(error: BaseException) -> str:
    """What pandas says after its colons, in one line."""
    return str(error).strip().splitlines()[0].split("error: ")[-1]


def _analysed(
    frame: pd.DataFrame, guess: Guess, objective: str, minimize: bool, options: argparse.Namespace
) -> Sensitivity:
    import pandas as pd

    space = read_space(options.space) if options.space else guess.space
    columns: dict[str, Any] = {}
    for name in space:
        column = guess.frame[name] if name in guess.frame else frame[_column(frame, name, "hyperparameter")]
        columns[name] = column.astype(object).where(column.notna(), None).tolist()
    numbers = pd.to_numeric(frame[objective], errors="coerce").to_numpy(dtype=np.float64)
    texts = frame[objective].notna().to_numpy() & np.isnan(numbers)
    texts &= frame[objective].astype(str).str.lower().ne("nan").to_numpy()
    if texts.any():
        row = int(texts.argmax())
        raise InputError(
            f"an objective must be a number or empty, but row {row + 1} of {objective!r} is "
            f"{frame[objective].iloc[row]!r}; correct it"
        )
    cost = None
    if options.cost:
        cost = pd.to_numeric(frame[_column(frame, options.cost, "cost")], errors="coerce").to_numpy()
    table = TrialTable.from_arrays(space, columns, numbers, cost)
    return analyse(
        space,
        table,
        options.goal,
        minimize=minimize,
        pairs=options.pairs,
        seed=options.seed,
        law="ranks",
        failed="drop" if options.drop_failed else "miss",
    )


def _column(frame: pd.DataFrame, name: str | None, role: str) -> str:
    """The column called `name`, or the study's own where none was named."""
    names = list(map(str, frame.columns))
    if name is None:
        name = next((own for own in ("value", "values_0", "objective") if own in names), None)
    if name in names:
        return str(name)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4) or names
    asked = f"there is no {name!r}" if name else "none was named"
    raise InputError(f"--{role} must name a column of the trials, but {asked}; nearest: {', '.join(near)}")


def _print_guess(console: Console, guess: Guess, options: argparse.Namespace) -> None:
    if options.space:
        return
    rows = [(name, type(kind).__name__, guess.reasons[name]) for name, kind in guess.space.items()]
    print_table(
        console, "What the columns were taken for (--save-space, correct, --space)", ("name", "type", "why"), rows
    )
    if guess.left_out:
        left = "; ".join(f"{name}: {reason}" for name, reason in guess.left_out.items())
        console.print(Text(f"left out: {left}"))


def _print_findings(console: Console, sensitivity: Sensitivity, options: argparse.Namespace) -> None:
    failed = sensitivity.counts[DIVERGED]
    console.print(Text(decides(sensitivity), style="bold"))
    if failed:
        total, fate = sum(sensitivity.counts.values()), "are left out" if options.drop_failed else "count as not good"
        console.print(Text(f"{failed} of {total} trials have no finite objective and {fate}."))
    print_indices(console, "What decides", sensitivity.indices)
    print_pairs(console, sensitivity.pair_indices)
    print_indices(console, "What drives the cost", sensitivity.cost_indices)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m hsicfast.analyze", description="Which hyperparameters decide, and how sure that is."
    )
    parser.add_argument("source", help="a CSV or Parquet file, an Optuna storage's URL, or a Hydra multirun folder")
    parser.add_argument("--objective", help="its column (default: a study's value, or `objective`)")
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--minimize", action="store_true", help="small is good (default, or the study's direction)")
    direction.add_argument("--maximize", action="store_true", help="large is good")
    parser.add_argument("--goal", type=float, default=0.1, help="the best fraction that counts as good (default: 0.1)")
    parser.add_argument("--cost", help="column of what a trial costs; asks what drives it, too")
    parser.add_argument("--study", help="name of the Optuna study, where the storage has several")
    parser.add_argument("--space", help="YAML file with the space instead of a guess")
    parser.add_argument("--save-space", help="write the guess there, to be corrected")
    parser.add_argument(
        "--drop-failed", action="store_true", help="leave out trials without a finite objective; else they are not good"
    )
    parser.add_argument("--no-pairs", dest="pairs", action="store_false", help="skip the interactions")
    parser.add_argument("--seed", type=int, default=0, help="of the permutations (default: 0)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
