"""Trials in Parquet files larger than memory: portions of rows, one after the other, here or as tasks of Ray.

A portion is cut by the files alone. What is made of the portions comes back in their order, so that any number of
workers makes the same of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

import numba

from hsicfast.errors import InputError, check_one_of, first_line, require

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

# Rows that are worked on at once, and the fewest of a portion where row groups are smaller.
BATCH = PORTION = 1 << 19
WorkerName = Literal["ray"]
WORKERS = (None, *get_args(WorkerName))
SUFFIXES = (".parquet", ".pq")
MANY = 2_000_000


@dataclass(frozen=True)
class ParquetTrials:
    """Trials in a Parquet file, or in all Parquet files of a folder, which need not fit into memory.

    Parameters
    ----------
    source : str or Path
    objective : str
        Name of its column.
    cost : str, optional
        Name of the column of what a trial costs; where there is no column ``cost`` nothing is asked about it.
    prefix : str
        What stands before the name of each hyperparameter, such as ``params_``.
    status : str, optional
        Name of the column that says how each trial ended; where there is no column ``status`` those with a finite
        objective are done.
    workers : {None, "ray"}
        Who goes through the rows: this process, or tasks of Ray on all nodes of its cluster, which must see the files
        under the same path. The numbers are the same.

    Examples
    --------
    >>> ParquetTrials("trials/", objective="val_error")
    ParquetTrials(source='trials/', objective='val_error', cost='cost', prefix='', status='status', workers=None)
    """

    source: str | Path
    objective: str = "objective"
    cost: str | None = "cost"
    prefix: str = ""
    status: str | None = "status"
    workers: WorkerName | None = None

    def __post_init__(self) -> None:
        check_one_of("workers", self.workers, WORKERS, "leave it out for this process")


class Portion(NamedTuple):
    """Row groups of a file: which, the number of their first row among all trials, and how many rows they have."""

    path: str
    groups: tuple[int, ...]
    start: int
    rows: int


@dataclass(frozen=True)
class Opened:
    """Files that belong together.

    Attributes
    ----------
    schema : pyarrow Schema
    portions : tuple of Portion
        In the order of the files' names, and of their rows.
    rows : int
    """

    schema: pa.Schema
    portions: tuple[Portion, ...]
    rows: int


def is_large(path: str | Path) -> bool:
    """Whether to stream what lies at `path`.

    That is a folder with Parquet files, unless it is a Hydra multirun, and one such file of more than 2,000,000 rows.
    """
    if Path(path).is_dir():
        return bool(_files(Path(path))) and not any(Path(path).glob("*/.hydra"))
    return Path(path).suffix.lower() in SUFFIXES and Path(path).is_file() and open_parquet(path).rows > MANY


def open_parquet(source: str | Path) -> Opened:
    """Find the files and what they hold, without reading a row.

    Raises
    ------
    InputError
        pyarrow missing; no such file; a folder without Parquet files; one that cannot be read; schemas that differ.
    """
    files = _files(Path(source))
    if not files:
        raise InputError(
            f"trials are streamed from a Parquet file or a folder of them, but {source} is none; check the path"
        )
    schema: pa.Schema | None = None
    portions: list[Portion] = []
    start = 0
    for path in files:
        file = _opened(str(path))
        own = file.schema_arrow.remove_metadata()
        if schema is None:
            schema = own
        _check_same(schema, own, files[0], path)
        groups: list[int] = []
        rows = 0
        for group in range(file.num_row_groups):
            groups.append(group)
            rows += file.metadata.row_group(group).num_rows
            if rows >= PORTION or (rows and group == file.num_row_groups - 1):
                portions.append(Portion(str(path), tuple(groups), start, rows))
                start, rows, groups = start + rows, 0, []
    if start == 0:
        raise InputError(f"a table of trials needs rows, but {source} has none; run some trials first")
    return Opened(schema, tuple(portions), start)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _opened(path: str, texts: Sequence[str] = ()) -> Any:
    require("pyarrow", user="a Parquet file")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, read_dictionary=list(texts))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"a Parquet file must be whole, but {path}: {first_line(error)}; write it again") from error


def _check_same(schema: pa.Schema, own: pa.Schema, first: Path, path: Path) -> None:
    kinds = {field.name: str(field.type) for field in schema}
    others = {field.name: str(field.type) for field in own}
    differ = [name for name in kinds | others if kinds.get(name) != others.get(name)]
    if differ:
        name = differ[0]
        raise InputError(
            f"Parquet files of one folder must have the same columns, but {name!r} is {kinds.get(name, 'missing')} in "
            f"{first} and {others.get(name, 'missing')} in {path}; write them alike"
        )


def read(portion: Portion, names: Sequence[str], threads: bool = True) -> Iterator[pa.RecordBatch]:
    """The rows of a portion in order, at most BATCH at once; texts as a dictionary and the places in it."""
    import pyarrow as pa

    file = _opened(portion.path)
    texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type) and field.name in names]
    try:
        yield from _opened(portion.path, texts).iter_batches(
            BATCH, row_groups=list(portion.groups), columns=list(names), use_threads=threads
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"a Parquet file must be whole, but {portion.path}: {first_line(error)}; write it again"
        ) from error


def of_each(
    portions: Sequence[Portion],
    names: Sequence[str],
    function: Callable[[Portion, Iterator[pa.RecordBatch]], T],
    workers: WorkerName | None,
) -> Iterator[T]:
    """``function(portion, batches)`` of every portion, in their order; `names` are the columns of the batches."""
    if workers == "ray":
        yield from _on_ray(portions, names, function)
        return
    batches = _ahead((portion, batch) for portion in portions for batch in read(portion, names))
    # The other half of the cores reads ahead; with all of them here each kernel waited for the reader (twice as slow).
    half = max(numba.get_num_threads() // 2, 1)
    for portion, own in groupby(batches, key=lambda both: both[0]):
        with _threads(half):
            made = function(portion, (batch for _, batch in own))
        yield made


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """So many threads for the compiled kernels, whose numbers do not depend on them."""
    before = numba.get_num_threads()
    numba.set_num_threads(n)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; the next is made while one is worked on."""
    ended = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, ended)
        while (item := waiting.result()) is not ended:
            waiting = pool.submit(next, items, ended)
            yield item  # type: ignore[misc]


def _on_ray(
    portions: Sequence[Portion],
    names: Sequence[str],
    function: Callable[[Portion, Iterator[pa.RecordBatch]], T],
) -> Iterator[T]:
    require("ray", user='workers="ray"', extra="ray")
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    task: Any = ray.remote(num_cpus=1)(_task)
    shared = ray.put(function)
    left = iter(portions)
    room = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)  # each core has a next one ready
    flying = deque(task.remote(shared, portion, names) for portion in islice(left, room))
    # None is cancelled where this ends early: Ray aborts the process where a task ends while it is being cancelled.
    try:
        while flying:
            found = ray.get(flying.popleft())
            flying.extend(task.remote(shared, portion, names) for portion in islice(left, 1))
            yield found
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error


def _task(function: Callable[[Portion, Iterator[pa.RecordBatch]], T], portion: Portion, names: Sequence[str]) -> T:
    with _threads(1):  # a task has one core
        return function(portion, read(portion, names, threads=False))
