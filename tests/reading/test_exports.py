"""What each tool exports is read without options: hyperparameters, objective, statuses, as the tool has them.

``python tests/reading/test_exports.py`` writes the table in ``docs/sources.md`` anew.
"""

import hashlib
import re
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml

from hsicfast import Float, InputError, Int, read_trials
from hsicfast.trials.trial import STATUSES

HERE = Path(__file__).resolve().parent / "exports"
PAGE = HERE.parents[2] / "docs" / "sources.md"
EXPORTS = yaml.safe_load((HERE / "right.yaml").read_text(encoding="utf-8"))
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
ABOUT = {"right.yaml", "README.md"}

each = pytest.mark.parametrize("right", [pytest.param(right, id=right["path"]) for right in EXPORTS])


def read(right):
    return read_trials(HERE / right["path"], right["asked"])


def files():
    return sorted(path for path in HERE.rglob("*") if path.is_file() and path.name not in ABOUT)


def table():
    """The table of ``docs/sources.md``, from what is right."""
    lines = ["| tool | how to export | example | read without options |", "|---|---|---|---|"]
    for right in EXPORTS:
        asked = right["asked"] and f"`--objective {right['asked']}`: "
        good = "large" if right.get("maximize") else "small"
        ends = ", ".join(f"{right[status]} {status}" for status in STATUSES if right.get(status))
        names = ", ".join(f"`{name}`" for name in right["hyperparameters"])
        found = f"{asked or ''}{right['objective']}, {good} is good; {right['trials']} trials, {ends}; {names}"
        path = f"[{right['path']}](../tests/reading/exports/{right['path']})"
        path += " (by hand)" if right["made"].startswith("by hand") else ""
        lines.append(f"| {right['tool']} | {right['export']} | {path} | {found} |")
    return "\n".join(lines) + "\n"


class TestRead:
    @each
    def test_hyperparameters(self, right):
        assert sorted(read(right).space) == right["hyperparameters"]

    @each
    def test_objective_and_direction(self, right):
        reading = read(right)
        assert (reading.objective, reading.minimize) == (right["objective"], not right.get("maximize", False))

    @each
    def test_trials_and_statuses(self, right):
        status = read(right).table.status
        assert len(status) == right["trials"]
        assert {name: int(np.sum(status == name)) for name in STATUSES} == {
            name: right.get(name, 0) for name in STATUSES
        }

    @each
    def test_best(self, right):
        assert read(right).table.best().objective == pytest.approx(right["best"], rel=1e-12)

    @pytest.mark.parametrize("right", [pytest.param(r, id=r["path"]) for r in EXPORTS if "levels" in r])
    def test_levels(self, right):
        table = read(right).table
        found = {name: {str(v) for v in table.values[name][table.active(name)]} for name in right["levels"]}
        assert {name: len(values) for name, values in found.items()} == right["levels"], found

    @pytest.mark.parametrize("right", [pytest.param(r, id=r["path"]) for r in EXPORTS if "under" in r])
    def test_conditions(self, right):
        space = read(right).space
        assert {name: list(space[name].conditions) for name in space if space[name].conditions} == {
            name: [parent] for name, parent in right["under"].items()
        }

    @each
    def test_bytes_stay(self, right):
        def sums():
            return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files()}

        before = sums()
        with suppress(InputError):
            read(right)
        assert sums() == before


def test_the_space_of_smac_is_configspace_s():
    space = read_trials(HERE / "smac/runhistory.json", space=HERE / "smac/configspace.json").space
    assert space["lr"] == Float(1e-4, 1e-1, log=True)
    assert space["layers"] == Int(1, 4)
    assert space["optimizer"].choices == ("adam", "sgd")
    assert space["momentum"] == Float(0.0, 0.9, active_if={"optimizer": ["sgd"]})


class TestFixtures:
    def test_every_file_belongs_to_an_entry_which_counts_right(self):
        roots = [HERE / right["path"] for right in EXPORTS] + [HERE / "smac/configspace.json"]
        assert [path for path in files() if not any(path == root or root in path.parents for root in roots)] == []
        for right in EXPORTS:
            assert sum(right.get(status, 0) for status in STATUSES) == right["trials"], right["path"]
            assert right["hyperparameters"] == sorted(right["hyperparameters"]), right["path"]

    def test_they_are_small(self):
        sizes = [path.stat().st_size for path in files()]
        assert max(sizes) < 40 * 1024
        assert sum(sizes) < 600 * 1024

    def test_they_name_no_machine_and_nobody(self):
        private = re.compile(rb"/(home|root|tmp|work|Users)/|(?<![\d.])\d{1,3}(\.\d{1,3}){3}(?![\d.])")
        assert [(path.name, found) for path in files() if (found := private.search(path.read_bytes()))] == []

    def test_the_readme_says_how_each_was_made(self):
        about = (HERE / "README.md").read_text(encoding="utf-8")
        assert [right["tool"] for right in EXPORTS if f"## {right['tool']}\n" not in about] == []


def test_the_table_of_the_docs():
    page = PAGE.read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0] == table()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
    sys.exit(0)
