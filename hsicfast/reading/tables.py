"""Reads a table of trials from a file: CSV or Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hsicfast.errors import InputError, first_line, require
from hsicfast.reading.found import check_names

if TYPE_CHECKING:
    import pandas as pd


GZIP = b"\x1f\x8b"
# Texts that mean "missing" in a CSV file. The text None may be a choice: the code that types the column decides.
GAPS = ("", "NaN", "nan", "-NaN", "-nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    content = path.read_bytes()
    if content.startswith(GZIP):
        content = gzip.decompress(content)
    if not content.strip():
        raise InputError(f"a CSV file needs a line of names and a row a trial, but {path} is empty; write it again")
    if b"\x00" in content[:4096]:
        raise InputError(f"a CSV file must be text in UTF-8, but {path} is in UTF-16 or no text; save it as UTF-8")
    separator, decimal = _dialect(content[:65536].decode("utf-8", errors="replace"))
    try:
        names = _check_rows(path, content, separator)
        frame = pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            decimal=decimal,
            encoding="utf-8-sig",
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(GAPS),
            low_memory=False,  # each column gets one type for all rows
        )
    except (pd.errors.ParserError, csv.Error, UnicodeDecodeError) as error:
        reason = first_line(error).split("error: ")[-1]
        raise InputError(
            f"a CSV file needs a line of names and a row a trial in UTF-8, but {path}: {reason}; correct it"
        ) from error
    nameless = [place for place, name in enumerate(names) if not name]
    for place in nameless:
        # pandas writes row numbers into a nameless first column; a separator that ends each line makes an empty one.
        if place and frame.iloc[:, place].notna().any():
            raise InputError(f"every column needs a name, but column {place + 1} of {path} has none; name it")
    numbers = nameless or [0] * (names[0] == "Unnamed: 0")
    return frame.drop(columns=frame.columns[numbers])


def _dialect(head: str) -> tuple[str, str]:
    """The separator of fields and the decimal mark, guessed from the first lines of a file."""
    first = re.sub(r'"[^"]*"', "", head.lstrip().partition("\n")[0])
    separator = max(",;\t", key=first.count)  # the first of equals
    comma = rf"(^|{separator})\s*-?\d+,\d+\s*({separator}|$)"
    return separator, "," if separator != "," and re.search(comma, head, re.MULTILINE) else "."


def _check_rows(path: Path, content: bytes, separator: str) -> list[str]:
    """The names in the first line of a CSV file; every other line must have as many fields."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
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


def read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except ImportError:
        require("pyarrow", user="a Parquet file")
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"a Parquet file must be whole, but {path}: {first_line(error)}; write it again") from error
