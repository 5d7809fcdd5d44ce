"""The lock of a run folder names its writer. A second live writer is refused, a dead one is replaced.

``RUN/lock`` holds the process, its host and its start time, because a system uses the number of a process again. This
host knows which of its own processes are alive. A holder on another host touches its lock every 10 s, and counts as
dead after 60 s without a touch, by the clock of the file system.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from hsicfast.errors import RunError, first_line, writing
from hsicfast.files import parsed_json, read_small, seal_holds, sealed
from hsicfast.runs.folder import LOCK

# A holder touches its lock every REFRESH seconds, and counts as dead after SILENCE seconds without a touch.
REFRESH, SILENCE = 10.0, 60.0
# Seconds by which two readings of the start time of one process may differ: the system counts it from the boot, whose
# time moves with the clock.
SAME_START = 2.0
# A lock is created and then filled: whoever finds it empty waits this many seconds for its owner to write.
EMPTY_LOCK_PATIENCE = 1.0
# A lock has a few hundred bytes.
MOST_LOCK = 1 << 16
# No process starts later than on 1 January 2200: a lock that says so is not whole.
LATEST_START = 7258118400.0

# The tokens of locks that this process has given back, but could not remove.
_left_behind: set[str] = set()


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    `namespace` tells containers of one host apart, because they do not see each other's processes; `token` tells two
    locks of one process apart. `boot` names the start of the system and `ticks` when the process started, counted from
    there: unlike `started`, they do not move with the clock. Other systems than Linux have none.
    """

    pid: int
    host: str
    namespace: str
    started: float
    token: str
    boot: str = ""
    ticks: int = 0

    @property
    def text(self) -> str:
        """The process in words, for messages."""
        return f"process {self.pid} on {self.host} since {datetime.fromtimestamp(self.started):%Y-%m-%d %H:%M:%S}"

    @property
    def is_here(self) -> bool:
        """Whether the holder belongs to this host and container, so that this process can see it."""
        return (self.host, self.namespace) == (socket.gethostname(), _namespace())

    def is_running(self) -> bool:
        """Whether the holder is alive; meaningful only if it `is_here`."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            if self.boot and self.ticks:
                same = (self.boot, self.ticks) == (_boot(), _ticks(self.pid))
                return same and process.status() != psutil.STATUS_ZOMBIE
            same = abs(process.create_time() - self.started) <= SAME_START
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


@dataclass(frozen=True)
class Look:
    """The state of a lock: its holder (None if the file cannot be read), whether the holder is alive, and its silence.

    `silent` is the number of seconds since the last touch; it decides if the holder cannot be seen from here.
    """

    holder: Holder | None
    alive: bool
    silent: float

    @property
    def text(self) -> str:
        """The state of the lock in words, for messages."""
        if self.holder is None:
            return f"cannot be read, written {self.silent:.0f} s ago"
        if not self.alive:
            return f"left by {self.holder.text}, which is gone; the next run takes its place"
        heard = "" if self.holder.is_here else f", last heard {self.silent:.0f} s ago"
        return f"held by {self.holder.text}{heard}"


class Lock:
    """The lock of a run folder, held by this process until :meth:`release`.

    Parameters
    ----------
    folder : Path
        The run folder, which exists.

    Raises
    ------
    RunError
        If a live process holds the lock, this one included, or if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        import psutil

        self._path = folder.absolute() / LOCK  # its thread may run while a training has changed the folder
        self._own = Holder(
            os.getpid(),
            socket.gethostname(),
            _namespace(),
            psutil.Process().create_time(),
            secrets.token_hex(8),
            _boot(),
            _ticks(os.getpid()),
        )
        with writing("the run folder", self._path, "make room, or pass another hydra.run.dir="):
            while not self._created():
                _clear(self._path)
        self._ended = threading.Event()
        threading.Thread(target=self._refresh, name="hsicfast-lock", daemon=True).start()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def check(self) -> None:
        """Raise a RunError if this process has lost the lock: it was asleep for long, or the file was deleted."""
        if not self._is_own():
            raise RunError(
                f"a run folder has one writer at a time, but {self._path} is not this run's any more (deleted, or "
                f"taken over after {SILENCE:.0f} s of silence); see who writes there, and run the same command "
                "again to go on"
            )

    def release(self) -> None:
        """Remove the lock. A process that was forked off the holder does nothing here."""
        if self._ended.is_set() or os.getpid() != self._own.pid:
            return
        self._ended.set()
        # A lock that cannot be removed is left as one of a dead holder: the next run replaces it, in this process, too.
        _left_behind.add(self._own.token)
        with suppress(OSError), _alone(self._path) as there:
            if there and self._is_own():
                self._path.unlink()

    def _created(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _check_file(self._path)
            return False
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(sealed(asdict(self._own)), indent=1) + "\n")
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        return True

    def _is_own(self) -> bool:
        return _read(self._path) == self._own

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH):
            # A file server that does not answer now may answer in REFRESH seconds.
            with suppress(OSError):
                if self._is_own():
                    os.utime(self._path)


def look(folder: Path) -> Look | None:
    """The state of the lock of a run folder, None if there is none.

    Nothing is changed, and the clock of this machine is trusted.

    Raises
    ------
    RunError
        If the lock cannot be read.
    """
    try:
        return _look(folder / LOCK, time.time())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(
            f"the lock of a run folder must be readable, but {folder / LOCK} gave: {first_line(error)}; see whose it is"
        ) from error


def check_free(folder: Path) -> None:
    """Raise a RunError if a live process holds the run folder; nothing is locked."""
    seen = look(folder)
    if seen is not None and seen.alive:
        raise _held(folder / LOCK, seen)


def _clear(path: Path) -> None:
    """Remove the lock of a dead holder; a RunError if it is alive."""
    with suppress(FileNotFoundError), _alone(path) as there:  # not found: its holder has removed it meanwhile
        if there:
            seen = _look(path, _file_clock(path.parent))
            if seen.alive:
                raise _held(path, seen)
            path.unlink()


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Keep others from removing the lock at `path`; yields False if it is gone or replaced already."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        # Windows has no fcntl and some network drives lock nothing: two processes that clear the same dead lock there
        # in the same millisecond may both succeed.
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            there = os.path.samestat(os.fstat(descriptor), path.stat())
        except FileNotFoundError:
            there = False
        yield there
    finally:
        os.close(descriptor)


def _look(path: Path, now: float) -> Look:
    deadline = time.monotonic() + EMPTY_LOCK_PATIENCE
    while True:
        _check_file(path)
        # A live holder has just touched it: a lock that is dated far ahead is from before the clock was set back.
        silent = abs(now - path.stat().st_mtime)
        holder = _read(path)
        if holder is not None or silent > SILENCE or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    alive = holder.is_running() if holder is not None and holder.is_here else silent <= SILENCE
    if holder is not None and holder.token in _left_behind:
        alive = False
    return Look(holder, alive, silent)


def _read(path: Path) -> Holder | None:
    try:
        content = parsed_json(read_small(path, MOST_LOCK))
        if not seal_holds(content):
            return None
        holder = Holder(
            int(content["pid"]),
            str(content["host"]),
            str(content["namespace"]),
            float(content["started"]),
            str(content["token"]),
            str(content.get("boot", "")),
            int(content.get("ticks", 0)),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return holder if 0 < holder.pid < 2**31 and 0 <= holder.started < LATEST_START else None


def _held(path: Path, seen: Look) -> RunError:
    rule = f"a run folder has one writer at a time, but {path.parent}"
    if seen.holder is None:
        left = max(SILENCE - seen.silent, 1)
        return RunError(
            f"{rule} has a lock that {seen.text}; delete {path} if nobody writes there, or wait {left:.0f} s and it "
            "counts as left by the dead"
        )
    way = f"after {SILENCE:.0f} s of silence its place is taken" if not seen.holder.is_here else "wait for it"
    return RunError(f"{rule} is {seen.text}; {way}, end it, or pass another hydra.run.dir=")


def _file_clock(folder: Path) -> float:
    """The time by the clock that dates the files of `folder`; it may be the clock of another machine."""
    probe = folder / f".{LOCK}.{os.getpid()}.{secrets.token_hex(4)}.part"
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _check_file(path: Path) -> None:
    """Raise a RunError unless the lock at `path` is a file, if it exists: another thing is nobody's lock."""
    with suppress(FileNotFoundError):
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a folder says what it is when it is opened
            raise RunError(
                f"the lock of a run folder must be a file, but {path} is a link or a pipe; see whose it is, and remove "
                "it"
            )


def _boot() -> str:
    """What names this start of the system; empty if it has no such name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):  # not Linux
        return ""


def _ticks(pid: int) -> int:
    """When a process started, counted from the start of the system; 0 if the system does not say."""
    try:
        # The name of the program, in brackets, may hold anything.
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return 0


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return ""
