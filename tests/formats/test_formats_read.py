"""Tables in many formats: the same values come back, whatever the encoding, the separator, the packing."""

import bz2
import gzip
import io
import json
import lzma
import math
import pickle
import types
import zipfile

import numpy as np
import pandas as pd
import psutil
import pytest
from files_read import bytes_in, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsicfast import InputError
from hsicfast.formats import tables
from hsicfast.formats.frames import read_frame

ROWS = {"größe": [0.5, 0.25, math.nan], "opt": ["adam", "l'été", None], "n": [1, 2, 3]}
FRAME = pd.DataFrame(ROWS)
LIST = "trials are read from a CSV, .* SMAC, but "


def zipped(files):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def same(found, want, digits=17):
    """Whether two frames have the same names and values, up to the digits that were written; gaps are equal."""
    assert list(found.columns) == list(want.columns)
    assert len(found) == len(want)
    for name in want:
        for own, value in zip(found[name].tolist(), want[name].tolist(), strict=True):
            if value is None or value != value:
                assert pd.isna(own)
            else:
                assert own == value or (digits < 17 and math.isclose(own, value, rel_tol=10.0**-digits, abs_tol=1e-14))
                assert isinstance(own, bool) == isinstance(value, bool)


class TestText:
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
    )
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_encodings_and_separators(self, tmp_path, encoding, separator):
        (tmp_path / "trials.csv").write_bytes(FRAME.to_csv(index=False, sep=separator).encode(encoding))
        before = bytes_in(tmp_path)
        found = read_frame(tmp_path / "trials.csv")
        same(found.frame, FRAME)
        assert len(found.notes) == (encoding in ("latin-1", "cp1252"))
        assert bytes_in(tmp_path) == before

    def test_a_guessed_encoding_is_said(self, tmp_path):
        (tmp_path / "trials.csv").write_bytes("größe,loss\n1,2\n".encode("latin-1"))
        found = read_frame(tmp_path / "trials.csv")
        assert found.notes == (
            "trials.csv is no UTF-8 and was read as Windows-1252; if letters are wrong, save it as UTF-8.",
        )

    def test_another_separator_in_the_names(self, tmp_path):
        path = written(tmp_path / "trials.csv", "loss, a, b, c;lr\n1;0,5\n2;0,25\n")
        assert read_frame(path).frame.to_dict("list") == {"loss, a, b, c": [1, 2], "lr": [0.5, 0.25]}

    def test_lists_among_points_are_no_decimals(self, tmp_path):
        path = written(tmp_path / "trials.csv", "lr;loss;widths\n0.5;1.5;64,64\n0.25;2.5;32,32\n")
        want = {"lr": [0.5, 0.25], "loss": [1.5, 2.5], "widths": ["64,64", "32,32"]}
        assert read_frame(path).frame.to_dict("list") == want

    def test_a_decimal_comma_far_below(self, tmp_path):
        path = written(tmp_path / "trials.csv", "n;loss\n" + "1;2\n" * 30_000 + '1;"2,5e-3"\n')
        assert read_frame(path).frame["loss"].iloc[-1] == 0.0025


class TestPacked:
    content = FRAME.to_csv(index=False).encode()

    @pytest.mark.parametrize(
        "pack", [gzip.compress, bz2.compress, lzma.compress, lambda content: zipped({"a.csv": content})]
    )
    def test_text(self, tmp_path, pack):
        (tmp_path / "trials").write_bytes(pack(self.content))
        before = bytes_in(tmp_path)
        same(read_frame(tmp_path / "trials").frame, FRAME)
        assert bytes_in(tmp_path) == before

    @pytest.mark.parametrize("format", ["parquet", "feather", "json"])
    def test_others(self, tmp_path, format):
        getattr(FRAME, f"to_{format}")(tmp_path / "trials")
        content = (tmp_path / "trials").read_bytes()
        (tmp_path / "trials.zip").write_bytes(zipped({"folder/a": content, "__MACOSX/folder/._a": b"x"}))
        same(read_frame(tmp_path / "trials.zip").frame, FRAME)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"a.csv": "a,b\n", "b.csv": "a,b\n"}, "a zip file must hold one table, but .* holds 2 files; unpack it"),
            ({"[Content_Types].xml": "", "xl/a.xml": ""}, f"{LIST}.* is a workbook; save its sheet as CSV"),
            ({"archive/data.pkl": "", "archive/version": "3"}, f"{LIST}.* is a pickle of PyTorch, which runs code"),
        ],
    )
    def test_refused(self, tmp_path, files, message):
        (tmp_path / "trials.zip").write_bytes(zipped(files))
        with pytest.raises(InputError, match=message):
            read_frame(tmp_path / "trials.zip")

    def test_cut_off(self, tmp_path):
        (tmp_path / "trials.zip").write_bytes(zipped({"a.csv": self.content})[:60])
        with pytest.raises(InputError, match=r"a zip file must be whole and open, but .*: .*; unpack it"):
            read_frame(tmp_path / "trials.zip")
        for pack in (gzip.compress, bz2.compress, lzma.compress):
            (tmp_path / "cut").write_bytes(pack(self.content)[:-9])
            with pytest.raises(InputError, match=r"a file must be readable, but .* gave: .*; correct it"):
                read_frame(tmp_path / "cut")


class TestJson:
    rows = ({"lr": 0.5, "opt": {"name": "sgd", "clip": None}, "n": 1}, {"lr": 0.25, "opt": {"name": "adam"}, "n": 2})

    def read(self, folder, content):
        return read_frame(written(folder / "trials.json", content)).frame

    @pytest.mark.parametrize("orient", ["records", "columns", "split", "index", "table"])
    def test_as_pandas_writes_it(self, tmp_path, orient):
        FRAME.to_json(tmp_path / "trials.json", orient=orient)
        before = bytes_in(tmp_path)
        found = read_frame(tmp_path / "trials.json").frame
        same(found.drop(columns="index", errors="ignore"), FRAME)
        assert bytes_in(tmp_path) == before

    def test_a_value_a_line(self, tmp_path):
        FRAME.to_json(tmp_path / "trials.jsonl", orient="records", lines=True)
        same(read_frame(tmp_path / "trials.jsonl").frame, FRAME)

    @pytest.mark.parametrize("key", ["trials", "results", "anything"])
    def test_mappings_are_unfolded(self, tmp_path, key):
        want = {"lr": [0.5, 0.25], "opt.name": ["sgd", "adam"], "opt.clip": ["None", None], "n": [1, 2]}
        for content in (self.rows, {key: self.rows, "seed": 1, "tags": ["a"]}):
            same(self.read(tmp_path, content), pd.DataFrame(want))
        lines = "\n".join(json.dumps(row) for row in self.rows)
        same(self.read(tmp_path, lines + "\n"), pd.DataFrame(want))

    def test_lists_as_columns(self, tmp_path):
        same(self.read(tmp_path, {"lr": [0.5, 0.25], "n": [1, 2]}), pd.DataFrame({"lr": [0.5, 0.25], "n": [1, 2]}))

    def test_what_wandb_exports(self, tmp_path):
        rows = [{"name": "a", "config": {"lr": 0.5, "clip": None}, "summary": {"loss": 1.0, "_step": 3}}]
        same(
            self.read(tmp_path, rows),
            pd.DataFrame({"config/lr": [0.5], "config/clip": ["None"], "loss": [1.0], "name": ["a"]}),
        )

    def test_numbers_that_json_lacks(self, tmp_path):
        assert self.read(tmp_path, '[{"a": NaN}, {"a": -Infinity}]')["a"].tolist()[1] == -math.inf

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"a": 1}', f"{LIST}.* is JSON and no table; write a list with a record a trial"),
            ("{}", "is JSON and no table"),
            ('{"a": [{"x": 1}], "b": [{"x": 1}]}', "is JSON with 2 lists of trials and no table"),
            ('{"a": {"x": 1}, "b": {"x": 2}}', "is JSON and no table"),
            ("[]", "a table of trials needs rows, but .* has none"),
            ("[1, 2]", "a JSON table needs a record a trial, but entry 1 of .* is '1'; correct it"),
            ('{"a": 1', r"a JSON file must be whole, but .*: Expecting ',' delimiter.*; correct it"),
            (
                '{"a": 1}\n{"a": \n',
                "JSON lines must hold a record a line, but line 2 of .*: Expecting value",
            ),
            ('{"columns": ["a"], "data": [[1, 2]]}', "needs a value for each column in each row, but .*; correct it"),
        ],
    )
    def test_refused(self, tmp_path, content, message):
        with pytest.raises(InputError, match=message) as refused:
            self.read(tmp_path, content)
        assert "\n" not in str(refused.value)


class TestOthers:
    def test_feather(self, tmp_path):
        FRAME.to_feather(tmp_path / "trials.feather")
        same(read_frame(tmp_path / "trials.feather").frame, FRAME)
        (tmp_path / "cut").write_bytes((tmp_path / "trials.feather").read_bytes()[:-40])
        with pytest.raises(InputError, match=r"a Feather file must be whole, but .*; write it again"):
            read_frame(tmp_path / "cut")

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("name", ["trials.pkl", "trials"])
    @pytest.mark.parametrize("held", [FRAME, [1, 2], {"a": [1]}], ids=["frame", "list", "dict"])
    def test_pickles_are_never_loaded(self, tmp_path, protocol, name, held):
        for pack in (bytes, gzip.compress):
            (tmp_path / name).write_bytes(pack(pickle.dumps(held, protocol=protocol)))
            with pytest.raises(InputError, match=f"{LIST}.* is a pickle, which runs code when it is loaded; load"):
                read_frame(tmp_path / name)

    def test_what_is_not_read(self, tmp_path):
        np.save(tmp_path / "trials.npy", np.arange(9.0))
        with pytest.raises(InputError, match=f"{LIST}.* none of them and no text; export the trials as CSV"):
            read_frame(tmp_path / "trials.npy")


TEXTS = (
    st.text(alphabet="abxyzäéßñ /-_:'", min_size=1, max_size=8)
    .map(str.strip)
    .filter(lambda text: text and text.lower() not in ("nan", "na", "n/a", "null", "none", "true", "false"))
)
VALUES = {
    "float": st.floats(allow_nan=False, allow_infinity=False, width=32).map(float),
    "int": st.integers(-(2**40), 2**40),
    "bool": st.booleans(),
    "text": TEXTS,
}


@st.composite
def frames(draw):
    """Frames of named columns of one type each, some with gaps; no row and no column is empty."""
    n = draw(st.integers(2, 8))
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=2, max_size=5))
    columns = {}
    for place, kind in enumerate(kinds):
        values = draw(st.lists(VALUES[kind], min_size=n, max_size=n))
        gaps = draw(st.lists(st.booleans(), min_size=n, max_size=n)) if draw(st.booleans()) else [False] * n
        column = [None if gap else value for value, gap in zip(values, gaps, strict=True)]
        column[place % n] = values[place % n]
        columns[f"{kind} ü{place}"] = pd.Series(column, dtype=object)
    return pd.DataFrame(columns)


def typed(frame):
    """The frame as pandas holds it: numbers as numbers, so that they are written with a decimal mark."""
    types = {"float": "float64", "int": "Int64"}
    return frame.astype({name: types[name.split()[0]] for name in frame if name.split()[0] in types}).infer_objects()


class TestThereAndBack:
    @given(
        frame=frames(),
        separator=st.sampled_from(",;\t|"),
        comma=st.booleans(),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
        quoted=st.booleans(),
        pack=st.sampled_from([bytes, gzip.compress, lambda content: zipped({"trials.csv": content})]),
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_text(self, tmp_path, frame, separator, comma, encoding, quoted, pack):
        decimal = "," if comma and separator != "," else "."  # a quoted 1,5 among commas is a list
        text = typed(frame).to_csv(index=False, sep=separator, decimal=decimal, quoting=1 if quoted else 0)
        (tmp_path / "trials").write_bytes(pack(text.encode(encoding)))
        same(read_frame(tmp_path / "trials").frame, frame)

    @given(frame=frames(), format=st.sampled_from(["parquet", "feather", "records", "split", "lines"]))
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_others(self, tmp_path, frame, format):
        path, digits = tmp_path / "trials", 17
        if format in ("parquet", "feather"):
            getattr(typed(frame), f"to_{format}")(path)
        else:
            orient = {"orient": "records", "lines": True} if format == "lines" else {"orient": format}
            typed(frame).to_json(path, double_precision=15, **orient)
            digits = 9  # pandas writes 15 decimals, and so fewer digits of a small number
        same(read_frame(path).frame, frame, digits)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_that_unpacks_to_too_much(tmp_path, monkeypatch, pack):
    """Issue 22, point 8: 25 MB of gzip unpacked to 6 GB."""
    monkeypatch.setattr(tables, "MOST_UNPACKED", 1 << 10)
    (tmp_path / "t.csv.gz").write_bytes(pack(b"x,objective\n" + b"1,2\n" * 1000))
    with pytest.raises(InputError, match=r"a packed file may unpack to .* but .*t.csv.gz unpacks to more; unpack"):
        read_frame(tmp_path / "t.csv.gz")


def test_a_zip_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_UNPACKED", 1 << 10)
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", b"x,objective\n" + b"1,2\n" * 1000)
    with pytest.raises(InputError, match=r"a packed file may unpack to .* but .*t.zip unpacks to more; unpack"):
        read_frame(tmp_path / "t.zip")


def test_a_parquet_file_that_asks_for_more_than_there_is(tmp_path, monkeypatch):
    """Issue 22, point 8: 21 kB asked for 190 GB, as equal rows take no room."""
    pd.DataFrame({"x": np.zeros(100_000), "objective": np.zeros(100_000)}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=1 << 20))
    with pytest.raises(InputError, match=r"must fit into memory, but .* holds 100,000 rows, which take .* write fewer"):
        read_frame(tmp_path / "t.parquet")


@pytest.mark.parametrize("text", ["{a: 1}", "5", "&a [*a]"])
def test_overrides_that_are_no_list(tmp_path, text):
    """Issue 22, point 9."""
    (tmp_path / "0" / ".hydra").mkdir(parents=True)
    (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text(text)
    (tmp_path / "0" / "result.json").write_text("1")
    with pytest.raises(InputError, match="a job's overrides must be in Hydra's grammar, but"):
        read_frame(tmp_path)


def test_a_result_that_is_nested_too_deeply(tmp_path):
    (tmp_path / "t.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"a JSON file must be whole, but .* it is nested too deeply; correct it"):
        read_frame(tmp_path / "t.json")
