"""Whatever is read or trained ends well or in one sentence: no crash, no raw traceback (issue 22).

HSICFAST_FUZZ=600 pytest tests/fuzz tries other inputs for ten minutes a test.
"""

import contextlib
import gzip
import json
import math
import random
from fractions import Fraction

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hsicfast.errors import InputError
from hsicfast.formats.frames import read_frame
from hsicfast.runs.repair import inspect_run, rebuild
from hsicfast.runs.results import read_results
from hsicfast.search.orchestrator import minimize
from hsicfast.space.formats import read_space
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.store import main as store
from hsicfast.trials.entries import csv_text
from hsicfast.trials.table import TrialTable

fuzzed = settings.get_profile("fuzz")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 2**70, 0, 1]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["Float", "Int", "Choice", "Bool", "type", "low", "=1+1", "nan", "done", "\x1b[31m", "\r\n"]),
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("type", "low", "high", "log", "step", "law", "choices", "active_if", "surplus")
KIND = st.sampled_from(["Float", "Int", "Choice", "Bool", "Nope"])
ENTRY = st.fixed_dictionaries({}, optional={**dict.fromkeys(KEYS[1:], DATA), "type": KIND | DATA})

NAMES = st.sampled_from(["t.csv", "t.json", "t.parquet", "t"])
HEADS = (
    *(
        b"",
        b"PAR1",
        b"ARROW1",
        b"\x1f\x8b",
        b"BZh9",
        b"\xfd7zXZ\x00",
        b"PK\x03\x04",
        b"SQLite format 3\x00",
    ),
    *(
        b"a,b\n1,2\n",
        b'[{"a":',
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b'{"columns":["a"],"data":',
        b'{"configs":{},"data":',
    ),
)


def refused(action):
    """Run `action`, which ends well or in one sentence."""
    try:
        return action()
    except InputError as error:
        assert str(error).strip()  # noqa: PT017 -- any other error fails the test
        return None


class TestReaders:
    @fuzzed
    @given(head=st.sampled_from(HEADS), rest=st.binary(max_size=200), packed=st.booleans(), name=NAMES)
    def test_bytes_of_any_kind(self, head, rest, packed, name, tmp_path_factory, in_time):
        if not in_time():
            return
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(gzip.compress(head + rest) if packed else head + rest)
        refused(lambda: read_frame(path))

    @fuzzed
    @given(content=DATA, lines=st.lists(st.lists(st.text(max_size=6), max_size=4), max_size=5))
    def test_json_and_csv(self, content, lines, tmp_path_factory, in_time):
        if not in_time():
            return
        path = tmp_path_factory.getbasetemp() / "t.json"
        path.write_text(json.dumps(content))
        refused(lambda: read_frame(path))
        path = path.with_suffix(".csv")
        text = "\n".join(",".join(cells) for cells in [["x", "objective"], *lines])
        path.write_text(text, encoding="utf-8", errors="replace")
        refused(lambda: read_frame(path))

    @fuzzed
    @given(seed=st.integers(0, 2**32))
    def test_flipped_bytes_of_whole_files(self, seed, tmp_path_factory, in_time):
        if not in_time():
            return
        pytest.importorskip("pyarrow")
        import pandas as pd

        chance = random.Random(seed)
        folder = tmp_path_factory.getbasetemp()
        frame = pd.DataFrame({"x": [0.1, 0.2, 0.3], "o": ["a", "b", "a"], "objective": [1.0, 2.0, 3.0]})
        path = folder / chance.choice(["f.parquet", "f.feather"])
        (frame.to_parquet if path.suffix == ".parquet" else frame.to_feather)(path)
        content = bytearray(path.read_bytes())
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
        refused(lambda: read_frame(path))


class TestSpaces:
    @fuzzed
    @given(entries=st.dictionaries(st.text(max_size=6), ENTRY | DATA, max_size=3) | DATA)
    def test_any_yaml(self, entries, tmp_path_factory, in_time):
        if not in_time():
            return
        path = tmp_path_factory.getbasetemp() / "space.yaml"
        path.write_text(yaml.safe_dump(entries, allow_unicode=False))
        space = refused(lambda: read_space(path))
        if space is not None:
            refused(lambda: space.from_unit([0.5] * len(space)))

    @fuzzed
    @given(text=st.text(alphabet="[]{}&*a: -\n!<>|\"'#%,?\t0", max_size=60))
    def test_any_text(self, text, tmp_path_factory, in_time):
        if not in_time():
            return
        path = tmp_path_factory.getbasetemp() / "space.yaml"
        path.write_text(text)
        refused(lambda: read_space(path))

    @pytest.mark.parametrize(
        "text",
        ["&a [*a]", "a: &x {type: Choice, choices: *x}", "[" * 9000, '{"a":' * 9000, "a: {type: [1]}", "a: {type: {}}"],
    )
    def test_recursive_and_deep(self, text, tmp_path):
        """Issue 22, point 9."""
        (tmp_path / "space.yaml").write_text(text)
        with pytest.raises(InputError, match=r"a space |a hyperparameter"):
            read_space(tmp_path / "space.yaml")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of a run folder; nobody reads its figures for print, which take most of the time."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    space = SearchSpace({"x": Float(0, 1), "o": Choice(["a", "b"])})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hsicfast.search.run_report.draw_all", lambda *_, **__: {})
        minimize(
            lambda params: {"objective": params["x"], "note": "n"}, space, n_trials=8, strategy="random", folder=folder
        )
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@fuzzed
@given(seed=st.integers(0, 2**32), garbage=DATA)
def test_run_folders(seed, garbage, whole, tmp_path_factory, in_time, capsys):
    if not in_time():
        return
    chance, folder = random.Random(seed), tmp_path_factory.mktemp("run")
    for name, content in whole.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    path = folder / chance.choice(sorted(whole))
    if path.suffix == ".json" and chance.random() < 0.7:
        held = json.loads(path.read_bytes())
        held[chance.choice(sorted(held))] = garbage
        held.pop("sha256", None)  # as of an older version, which wrote none
        path.write_text(json.dumps(held))
    else:
        content = bytearray(path.read_bytes() or b" ")
        content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
    checks = refused(lambda: inspect_run(folder))
    read = refused(lambda: read_results(folder))
    found = refused(lambda: read_frame(folder))
    if checks is not None and all(check.whole for check in checks):
        assert read is not None
        assert found is not None
    if chance.random() < 0.3:
        refused(lambda: rebuild(folder))
        with contextlib.suppress(SystemExit):
            store(["check", str(folder)])
        said = "".join(capsys.readouterr())
        assert "Traceback" not in said
        assert "\x1b" not in said


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


OUTCOMES = st.one_of(
    DATA,
    st.floats(),
    st.builds(Fraction, st.integers(-9, 9), st.integers(1, 9)),
    st.fixed_dictionaries(
        {"objective": st.floats() | DATA},
        optional={"cost": DATA | st.floats(), "constraints": DATA, "message": DATA, "status": DATA, "m": DATA},
    ),
    st.sampled_from([Mute(), MemoryError(), RecursionError("deep"), UnicodeError("\udc80"), ValueError("\x00" * 99)]),
)


@fuzzed
@given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=6), names=st.lists(st.text(max_size=8), min_size=1, max_size=3))
def test_objectives(outcomes, names, in_time):
    if not in_time():
        return
    count = iter(range(10**9))

    def evaluate(params):
        outcome = outcomes[next(count) % len(outcomes)]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    space = refused(lambda: SearchSpace({name: Float(0, 1) for name in names} | {"i": Int(0, 3), "b": Bool()}))
    if space is not None:
        refused(lambda: minimize(evaluate, space, n_trials=8, strategy="random"))


@fuzzed
@given(
    choices=st.lists(st.text(max_size=6) | st.integers(-9, 9) | st.booleans() | st.none(), min_size=2, max_size=5),
    name=st.text(min_size=1, max_size=6),
)
def test_a_csv_file_gives_back_what_it_got_or_says_that_it_cannot(choices, name, tmp_path_factory, in_time):
    if not in_time():
        return
    space = refused(lambda: SearchSpace({name: Choice(choices)}))
    if space is None:
        return
    made = TrialTable.from_arrays(space, {name: choices}, [math.pi] * len(choices))
    path = tmp_path_factory.getbasetemp() / "there.csv"
    path.write_bytes(csv_text(made.to_frame()).encode())
    back = refused(lambda: TrialTable.from_csv(space, path))
    if back is not None:
        own = list(zip(map(type, choices), choices, strict=True))
        assert [(type(value), value) for value in back.values[name].tolist()] == own
