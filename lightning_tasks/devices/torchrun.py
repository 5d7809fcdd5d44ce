"""A trial trains on several devices of this machine: torchrun starts a rank for each, and names the one that failed."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import IO, Any, cast

from lightning_tasks.devices.errors import Lost

# We keep the last _LINES lines of torchrun and its ranks; its table of failures is far shorter.
_LINES = 400
# The last line of a traceback.
_RAISED = re.compile(r"^[\w.]+(?:Error|Exception|Exit)\b.*", re.MULTILINE)
# A row of the table of failures.
_FAILURE = re.compile(r"^\s*rank\s*: (\d+) \(.*\n\s*exitcode\s*: (-?\d+) ", re.MULTILINE)


def assignment_path(folder: Path) -> Path:
    """The file in which the ranks find what to train."""
    return folder / "assignment"


def outcome_path(folder: Path) -> Path:
    """The file in which the first rank leaves the outcome."""
    return folder / "outcome"


def error_path(folder: Path, rank: int) -> Path:
    """The file in which a rank leaves the error that it raised."""
    return folder / f"error-{rank}"


class RankFailed(RuntimeError):
    """A rank raised an error; the last line names the rank and the error, after its traceback."""


def train_together(trainee: Any, assignment: dict[str, Any], devices: int, threads: int) -> tuple[dict[str, Any], Any]:
    """`trainee.train(**assignment)` in `devices` processes, all of which have ended once this returns or raises.

    Parameters
    ----------
    trainee
        The `Trainee`.
    assignment
        Arguments of its `train`.
    devices
        Number of processes.
    threads
        Threads of each process.

    Raises
    ------
    ValueError
        If trainee and assignment cannot be pickled for another process.
    RankFailed
        If a rank raised an error.
    MemoryError
        If the memory of a rank was not enough.
    Lost
        If a rank or torchrun was killed, or left without an error.
    """
    with tempfile.TemporaryDirectory(prefix="hsicfast-") as name:
        folder = Path(name)
        assignment_path(folder).write_bytes(pickled((trainee, assignment)))
        code, log = _torchrun(folder, devices, threads)
        errors = {rank: _read(error_path(folder, rank)) for rank in range(devices)}
        outcome = _read(outcome_path(folder))
    errors = {rank: error for rank, error in errors.items() if error is not None}
    first = outcome or errors.get(0, {"calls": []})
    for step, value in first["calls"]:  # the first rank called a copy of the report
        assignment["report"](step, value)
    if outcome is not None:
        return outcome["result"], outcome["weights"]
    raise _cause(code, log, errors, devices)


def pickled(parts: Any) -> bytes:
    """What several processes train, as they receive it.

    Raises
    ------
    ValueError
        If a part cannot be pickled, or is defined in the script that runs, which the ranks do not run.
    """
    way_out = "put it into a module of its own and import it from there, or train with devices=1"
    try:
        content = pickle.dumps(parts)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise ValueError(f"what trains on several devices must be picklable, but got: {lines[0]}; {way_out}") from error
    # The main module of a rank is another one; in a worker the script has the second name.
    if b"__main__" in content or b"__mp_main__" in content:
        raise ValueError(
            "what trains on several devices must be importable, but a part of it is defined in the script that runs; "
            f"{way_out}"
        )
    return content


def _torchrun(folder: Path, devices: int, threads: int) -> tuple[int, str]:
    """Run the ranks to their end; returns torchrun's exit code, and the output of all ranks."""
    command = [sys.executable, "-m", "torch.distributed.run"]
    command += ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={devices}", "--max-restarts=0"]
    command += ["-m", "lightning_tasks.ddp", str(folder)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(sys.path),  # the ranks can import what this process can
    }
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C on the terminal is for the process that started the run
    )
    lease, output = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
    lines: deque[str] = deque(maxlen=_LINES)
    # Torchrun and its ranks all hold the other end of this pipe: it closes when the last of them has ended.
    reader = threading.Thread(target=lines.extend, args=(output,), daemon=True)
    reader.start()
    try:
        code = process.wait()
    finally:
        lease.close()  # every rank ends when this closes, if it has not ended yet
        process.terminate()
        process.wait()
        reader.join()
        output.close()
    return code, "".join(lines)


def _read(path: Path) -> Any:
    return pickle.loads(path.read_bytes()) if path.exists() else None


def _cause(code: int, log: str, errors: dict[int, dict[str, Any]], devices: int) -> Exception:
    """The error that came first: a rank that ends also ends the others, by a broken connection or by torchrun."""
    if code < 0:
        return Lost(f"torchrun died ({signal.Signals(-code).name})")
    last = log.strip().splitlines()[-1] if log.strip() else "nothing"
    if "SignalException" in last:
        return Lost(f"torchrun was terminated: {last}")
    ends = {int(rank): int(end) for rank, end in _FAILURE.findall(log)}
    silent = {rank: end for rank, end in ends.items() if rank not in errors and end != -signal.SIGTERM}
    # A rank may abort because another one raised an error; no rank is killed because of another.
    first = [rank for rank, end in silent.items() if not errors or end != -signal.SIGABRT]
    if first:
        end = silent[first[0]]
        line = _RAISED.search(log)
        how = f"died ({signal.Signals(-end).name})" if end < 0 else f"left with exit code {end} ({line and line[0]})"
        return Lost(f"rank {first[0]} of {devices} {how}")
    if not errors:
        return Lost(f"torchrun ended with exit code {code} and no result, its last words: {last}")
    rank, error = min(errors.items(), key=lambda item: item[1]["time"])
    text = f"rank {rank} of {devices}: {error['text']}"
    if error["out of memory"]:
        return MemoryError(text)
    return Lost(text) if error["lost"] is True else RankFailed(f"{error['trace']}{text}")
