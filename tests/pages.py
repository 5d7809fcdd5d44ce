"""A page as a browser reads it."""

import json
from html.parser import HTMLParser

import pytest

VOID = {"meta", "img", "br", "link", "input", "hr"}
HEADS = {"Hyperparameter", "Pair", "Column", "Round"}


class Page(HTMLParser):
    """The page as a browser reads it: tags balanced, what it would load or run, its text and its tables."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.loads, self.text, self.rows = [], [], [], [], []
        self.scripts, self.data, self.policy, self.charts = [], {}, "", []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        self.loads += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action", "style")]
        assert not [key for key, _ in attrs if key.startswith("on")]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]
        if "data-chart" in named:
            self.charts.append(named["data-chart"])
        if tag == "script":
            self.open_script = named
            self.scripts += [""] if "type" not in named else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            if self.open_script.get("type") == "application/json":
                self.data = json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
            else:
                self.scripts[-1] += data
            return
        if "style" not in self.open:
            self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    def table(self, heading):
        """The rows of the first table whose head begins with these words."""
        start = next(k for k, row in enumerate(self.rows) if row[: len(heading)] == heading)
        end = next((k for k, row in enumerate(self.rows) if k > start and row[0] in HEADS), len(self.rows))
        return [row for row in self.rows[start + 1 : end] if len(row) > 1]


def sketched(monkeypatch):
    """Leave out what takes most of the time and is looked at elsewhere: pictures, and plotly's own script."""
    for room in ("report.page", "search.run_report"):
        monkeypatch.setattr(f"hsicfast.{room}.render", lambda figure, kind: f"a {kind}".encode())
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "const Plotly = {};")
