"""Reads a table of trials from a file: CSV in any encoding, Parquet, Feather; unpacks what is packed."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hsicfast.errors import InputError, first_line, require
from hsicfast.files import read_table
from hsicfast.formats.found import check_names, unreadable
from hsicfast.trials.parquet import check_fits

if TYPE_CHECKING:
    import pandas as pd


# The first bytes of files, which show their format whatever their names are.
GZIP, BZIP, XZ, ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"PK\x03\x04"
# A packed file may unpack to MOST_UNPACKED bytes: a file of 25 MB can hold 6 GB of zeros.
MOST_UNPACKED = 1 << 30
# Encodings that begin with a mark; the longer one first, as it begins like the shorter.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Texts that mean "missing" in a CSV file. The text None may be a choice: the code that types the column decides.
GAPS = ("", "NaN", "nan", "-NaN", "-nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# Bytes and lines at the beginning of a file from which its separator and its encoding are told.
HEAD, LINES = 1 << 16, 50


def unpacked(content: bytes, path: Path) -> bytes:
    """The content of a file without its compression; of an archive, the one file in it."""
    openers: tuple[tuple[bytes, Any], ...] = ((GZIP, gzip.open), (BZIP, bz2.open), (XZ, lzma.open))
    for first, opener in openers:
        if content.startswith(first):
            with opener(io.BytesIO(content)) as packed:
                whole = packed.read(MOST_UNPACKED + 1)
            return whole if len(whole) <= MOST_UNPACKED else _refuse_size(path)
    return _only_file(content, path) if content.startswith(ZIP) else content


def _refuse_size(path: Path) -> NoReturn:
    raise InputError(
        f"a packed file may unpack to {MOST_UNPACKED >> 30} GiB, but {path} unpacks to more; unpack it and name the "
        "file that comes out"
    )


def _only_file(content: bytes, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if "[Content_Types].xml" in names:
                raise unreadable(path, "a workbook", "save its sheet as CSV")
            if any(name.endswith("data.pkl") for name in names):
                raise unreadable(path, "a pickle of PyTorch, which runs code when it is loaded", "write a CSV file")
            if len(names) != 1:
                raise InputError(
                    f"a zip file must hold one table, but {path} holds {len(names)} files; unpack it and name one"
                )
            if archive.getinfo(names[0]).file_size > MOST_UNPACKED:  # no more than this is unpacked
                _refuse_size(path)
            return archive.read(names[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # RuntimeError: it needs a password
        raise InputError(f"a zip file must be whole and open, but {path}: {first_line(error)}; unpack it") from error


def as_text(content: bytes, path: Path) -> tuple[bytes, str | None]:
    """A text file's content in UTF-8 without a mark, and a note if its encoding is a guess."""
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _recoded(content[len(mark) :], encoding, path), None
    head = content[:HEAD]
    if b"\x00" in head:
        # A text of Latin letters in UTF-16 has a zero in every second byte.
        even, odd = head[::2].count(0), head[1::2].count(0)
        if min(even, odd) * 10 > max(even, odd) or max(even, odd) * 4 < len(head):
            raise unreadable(path, "none of them and no text", "export the trials as CSV")
        return _recoded(content, "utf-16-be" if even > odd else "utf-16-le", path), None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return _in_one_byte(content, path)
    return content, None


def _recoded(content: bytes, encoding: str, path: Path) -> bytes:
    try:
        return content.decode(encoding).encode()
    except UnicodeDecodeError as error:
        raise InputError(f"a text file must be whole, but {path}: {first_line(error)}; write it again") from error


def _in_one_byte(content: bytes, path: Path) -> tuple[bytes, str]:
    """A text that is no UTF-8, as one of the encodings that have a byte for each letter."""
    if len(re.findall(rb"[\x00-\x08\x0e-\x1f\x7f]", content[:HEAD])) * 100 > min(len(content), HEAD):
        raise unreadable(path, "none of them and no text", "export the trials as CSV")
    try:
        text, called = content.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        text, called = content.decode("latin-1"), "Latin-1"
    return text.encode(), f"{path.name} is no UTF-8 and was read as {called}; if letters are wrong, save it as UTF-8."


def read_csv(content: bytes, path: Path) -> pd.DataFrame:
    """The table in the text of a CSV file, which is in UTF-8; its separator and its decimal mark are found."""
    import pandas as pd

    if not content.strip():
        raise InputError(f"a CSV file needs a line of names and a row a trial, but {path} is empty; write it again")
    separator, decimal = _dialect(content)
    try:
        names = _check_rows(path, content, separator)
        frame = read_table(
            io.BytesIO(content),
            sep=separator,
            decimal=decimal,
            encoding="utf-8",
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(GAPS),
            low_memory=False,  # each column gets one type for all rows
        )
    except (pd.errors.ParserError, csv.Error) as error:
        reason = first_line(error).split("error: ")[-1]
        raise InputError(
            f"a CSV file needs a line of names and a row a trial, but {path}: {reason}; correct it"
        ) from error
    nameless = [place for place, name in enumerate(names) if not name]
    for place in nameless:
        # pandas writes row numbers into a nameless first column; a separator that ends each line makes an empty one.
        if place and frame.iloc[:, place].notna().any():
            raise InputError(f"every column needs a name, but column {place + 1} of {path} has none; name it")
    numbers = nameless or [0] * (names[0] == "Unnamed: 0")
    return frame.drop(columns=frame.columns[numbers])


def _dialect(content: bytes) -> tuple[str, str]:
    """The separator of fields and the decimal mark, from the first lines of a file."""
    head = content[:HEAD].decode("utf-8", errors="replace").lstrip()
    lines = head.splitlines()[:LINES]
    if len(content) > HEAD and 1 < len(lines) < LINES:
        lines.pop()  # it is cut off
    first = re.sub(r'"[^"]*"', "", lines[0])
    fields = {separator: _fields(lines, separator) for separator in ",;\t|"}
    # The same number of fields in all lines is the best sign; without it, the first line counts. First of equals.
    separator = max(fields, key=lambda own: (fields[own], first.count(own)))
    if separator == "," or b"," not in content:
        return separator, "."
    # With most numbers in a decimal comma, a point is a version or the like; with most in a point, a comma is a list.
    edge = re.escape(separator.encode())
    number = rb'(?:^|%b)[ "]*[-+]?\d+%b\d+(?:[eE][-+]?\d+)?(?=[ "\r]*(?:%b|$))'
    for part in (content[:HEAD], content):  # the whole takes long, and is looked at only if the head has neither
        commas, points = (len(re.findall(number % (edge, mark, edge), part, re.MULTILINE)) for mark in (b",", rb"\."))
        if commas or points:
            break
    return separator, "," if commas > points else "."


def _fields(lines: list[str], separator: str) -> int:
    """The number of fields in every line; 1 if it differs."""
    try:
        counts = {len(row) for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row}
    except csv.Error:
        return 1
    return counts.pop() if len(counts) == 1 else 1


def _check_rows(path: Path, content: bytes, separator: str) -> list[str]:
    """The names in the first line of a CSV file; every other line must have as many fields."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    names: list[str] = []
    for row in reader:
        if not names:
            names = row
        elif len(row) != len(names) and row and (len(row) > 1 or row[0].strip()):
            raise InputError(
                f"a CSV file needs a line of names and a row a trial, but {path}: line {reader.line_num} has "
                f"{len(row)} fields where the first has {len(names)}; correct it"
            )
    check_names([name for name in names if name], str(path))
    if 2 * sum(NUMBER.fullmatch(name) is not None for name in names) >= len(names):
        raise InputError(
            f"the first line of a CSV file must name its columns, but {path} begins with {names}; add names"
        )
    return names


def read_parquet(source: Path | io.BytesIO, path: Path) -> pd.DataFrame:
    """The table in a Parquet file, which is called `path`."""
    import pandas as pd

    try:
        check_fits(source, path)
        return pd.read_parquet(source).reset_index(drop=True)
    except ImportError:
        require("pyarrow", user="a Parquet file")
        raise
    except (OSError, ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"a Parquet file must be whole, but {path}: {first_line(error)}; write it again") from error


def read_feather(content: bytes, path: Path) -> pd.DataFrame:
    """The table in a Feather or Arrow file."""
    import pandas as pd

    try:
        return pd.read_feather(io.BytesIO(content)).reset_index(drop=True)
    except ImportError:
        require("pyarrow", user="a Feather file")
        raise
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"a Feather file must be whole, but {path}: {first_line(error)}; write it again") from error
