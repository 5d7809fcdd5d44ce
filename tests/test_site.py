"""What the pages of the site show runs: python blocks as they stand, a page in one go, and commands in this process."""

import doctest
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hsicfast import analyze, store

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if not {"_build", "gallery", "generated"} & {*page.parts})
# A block after a line <!-- not run: why --> is not run.
FENCE = re.compile(r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<kind>[a-z]+)\n(?P<text>.*?)^```$", re.M | re.S)
KINDS = {"python", "pycon", "sh"}


def blocks(page):
    return [match for match in FENCE.finditer(page.read_text()) if match["kind"] in KINDS and not match["why"]]


def commands(text):
    """The commands of a block, as words; comments are left out."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def run_command(words):
    """Run a command in this process; that of a search is composed alone, as README's is run by .ci/run."""
    if words[:3] == ["python", "-m", "hsicfast.analyze"]:
        analyze.main(words[3:])
    elif words[:3] == ["python", "-m", "hsicfast.store"]:
        assert store.main(words[3:]) in (None, 0)
    elif words[:3] == ["python", "-m", "hsicfast.run"]:
        overrides = [word for word in words[3:] if "=" in word]
        overrides = [re.sub(r"^([^=]+=[^,\[{']+),.*$", r"\1", word) for word in overrides]  # of a multirun, the first
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base=None):
            compose("config", overrides)
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        named = {name for word in words for part in re.findall(r"\[(.+)\]", word) for name in part.split(",")}
        assert named <= set(extras)
    else:
        pytest.fail(f"a command of a page must be one that this test runs, but got {words}; say why it is not run")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"page_{page.stem}")  # where classes of the page live, such as a LightningModule
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)
    for match in blocks(page):
        line = page.read_text()[: match.start("text")].count("\n")
        if match["kind"] == "python":
            exec(compile("\n" * line + match["text"], str(page), "exec"), names)
        elif match["kind"] == "pycon":
            test = doctest.DocTestParser().get_doctest(match["text"], names, page.stem, str(page), line)
            failed, _ = doctest.DocTestRunner().run(test, clear_globs=False)
            assert failed == 0
        else:
            for words in commands(match["text"]):
                run_command(words)


def test_every_block_that_is_not_run_says_why():
    for page in PAGES:
        whys = [match["why"] for match in FENCE.finditer(page.read_text()) if match["why"]]
        assert all(len(why.split()) >= 4 for why in whys), page


@pytest.mark.parametrize("path", sorted((DOCS / "results").glob("*.json")), ids=lambda path: path.stem)
def test_a_result_file_says_where_it_comes_from(path):
    result = json.loads(path.read_text())
    assert {"command", "date", "machine", "versions", "note", "tables"} <= set(result)
    for table in result["tables"]:
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_every_door_has_an_entry():
    import hsicfast
    import lightning_tasks

    text = (DOCS / "api.md").read_text()
    named = set(re.findall(r"^   (\w[\w.]*)$", text, re.M))
    assert set(hsicfast.__all__) - {"__version__"} <= named
    assert set(lightning_tasks._DOORS) <= named
