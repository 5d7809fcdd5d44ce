"""A result file has what a reader needs to trust it."""

import argparse
import json
import sys

from rich.table import Table

from benches.results import add_json, content_of, write_results


def table():
    made = Table("what", "ours", title="speed")
    made.add_row("[b]sort[/b]", "1.2 ms")
    made.add_row("pairs", "")
    return made


def test_cells_are_plain_texts():
    rows = [["sort", "1.2 ms"], ["pairs", ""]]
    assert content_of(table()) == {"title": "speed", "columns": ["what", "ours"], "rows": rows}


def test_says_where_it_comes_from_and_no_folder_of_the_machine(tmp_path, monkeypatch):
    path = tmp_path / "speed.json"
    monkeypatch.setattr(sys, "argv", ["/somewhere/benches/peers.py", "--data", "/data", "--json", str(path), "--quick"])
    parser = argparse.ArgumentParser()
    add_json(parser)
    write_results(parser.parse_args(["--json", str(path)]).json, [table()], "Medians.", cells=[1.5])
    result = json.loads(path.read_text())
    assert result["command"] == "python benches/peers.py --data FOLDER --quick"
    assert result["machine"].count(", ") == 2
    assert {"Python", "hsicfast", "numpy", "numba"} <= set(result["versions"])
    assert (result["note"], result["cells"], len(result["tables"])) == ("Medians.", [1.5], 1)


def test_without_the_option_nothing_is_written():
    parser = argparse.ArgumentParser()
    add_json(parser)
    write_results(parser.parse_args([]).json, [table()])
