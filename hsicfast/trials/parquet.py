"""Reads trials from Parquet files larger than memory, a portion of rows at a time, here or as tasks of Ray.

The files alone decide the portions, and results come back in the order of the portions: any number of workers gives
the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

import numba

from hsicfast.engines.layer import threads
from hsicfast.errors import InputError, check_one_of, first_line, require

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

# Rows in a batch; and the least number of rows in a portion, which joins row groups that are smaller.
BATCH = PORTION = 1 << 19
WorkerName = Literal["ray"]
WORKERS = (None, *get_args(WorkerName))
SUFFIXES = (".parquet", ".pq")
# A Parquet file with more rows is streamed.
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
        Name of the column with the cost of a trial; if there is no column ``cost``, the cost is not analysed.
    prefix : str
        Prefix of the column of each hyperparameter, such as ``params_``.
    status : str, optional
        Name of the column that says how each trial ended; if there is no column ``status``, trials with a finite
        objective are done.
    unknown_is_lost : bool
        Whether a trial whose status is no word of :data:`hsicfast.trials.trial.WORDS` is lost; otherwise it is refused.
    workers : {None, "ray"}
        What reads the rows: this process, or tasks of Ray on all nodes of its cluster, which must see the files under
        the same path. The numbers are the same.

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
    unknown_is_lost: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        check_one_of("workers", self.workers, WORKERS, "leave it out for this process")


class Portion(NamedTuple):
    """Some row groups of a file: their numbers, the place of their first row among all trials, and their rows."""

    path: str
    groups: tuple[int, ...]
    start: int
    rows: int


@dataclass(frozen=True)
class Opened:
    """Parquet files that hold one table.

    Attributes
    ----------
    schema : pyarrow Schema
    portions : tuple of Portion
        In the order of the files' names and of their rows.
    rows : int
    """

    schema: pa.Schema
    portions: tuple[Portion, ...]
    rows: int


def is_large(path: str | Path) -> bool:
    """Whether to stream the trials at `path`.

    A folder with Parquet files is streamed, unless it is a Hydra multirun; so is a file of more than 2,000,000 rows.
    """
    if Path(path).is_dir():
        return bool(_files(Path(path))) and not any(Path(path).glob("*/.hydra"))
    return Path(path).suffix.lower() in SUFFIXES and Path(path).is_file() and open_parquet(path).rows > MANY


def open_parquet(source: str | Path) -> Opened:
    """Find the files, their schema and their portions, without reading a row.

    Raises
    ------
    InputError
        If pyarrow or the file is missing, the folder has no Parquet files, one cannot be read, or schemas differ.
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


def _opened(path: Any, texts: Sequence[str] = ()) -> Any:
    require("pyarrow", user="a Parquet file")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, read_dictionary=list(texts))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"a Parquet file must be whole, but {path}: {first_line(error)}; write it again") from error


def check_fits(source: Any, path: Path | str) -> None:
    """Raise an InputError if a Parquet file is larger in memory than what is free of it, by what it says of itself.

    A few kilobytes can stand for billions of equal rows.
    """
    import psutil

    said = _opened(source).metadata
    unpacked = sum(said.row_group(group).total_byte_size for group in range(said.num_row_groups))
    needed, free = max(unpacked, 8 * said.num_rows * said.num_columns), psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"a Parquet file must fit into memory, but {path} says that it holds {said.num_rows:,} rows, which take "
            f"{needed / 2**30:,.0f} GiB where {free / 2**30:,.0f} GiB are free; write fewer rows or columns"
        )


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
    """The rows of a portion in order, at most BATCH at once; texts are dictionary-encoded."""
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
    """Yield ``function(portion, batches)`` for every portion, in their order.

    Parameters
    ----------
    portions : sequence of Portion
    names : sequence of str
        Columns of the batches.
    function : callable
        Called with a portion and the iterator of its batches.
    workers : {None, "ray"}
        As in :class:`ParquetTrials`.
    """
    if workers == "ray":
        yield from _on_ray(portions, names, function)
        return
    batches = _ahead((portion, batch) for portion in portions for batch in read(portion, names))
    # The other half of the cores reads ahead; if kernels took all cores, each waited for the reader (twice as slow).
    half = max(numba.get_num_threads() // 2, 1)
    for portion, own in groupby(batches, key=lambda both: both[0]):
        with threads(half):
            made = function(portion, (batch for _, batch in own))
        yield made


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; a thread makes the next one while the caller works on one."""
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
    room = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)  # each core has another task ready
    flying = deque(task.remote(shared, portion, names) for portion in islice(left, room))
    # No task is cancelled if this ends early: Ray aborts the process if a task ends while it is being cancelled.
    try:
        while flying:
            found = ray.get(flying.popleft())
            flying.extend(task.remote(shared, portion, names) for portion in islice(left, 1))
            yield found
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error


def _task(function: Callable[[Portion, Iterator[pa.RecordBatch]], T], portion: Portion, names: Sequence[str]) -> T:
    with threads(1):  # a task has one core
        return function(portion, read(portion, names, threads=False))
