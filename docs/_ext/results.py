"""The directive ``results``: a table of ``docs/results/NAME.json``, which a bench wrote, with its machine and date."""

import json
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# Cells of at most so many characters are not broken.
SHORT = 14


class Results(SphinxDirective):
    """A table of one result file; ``:table:`` is its place in the file, ``:columns:`` chooses some by comma."""

    required_arguments = 1
    option_spec: ClassVar = {
        "table": directives.nonnegative_int,
        "columns": directives.unchanged,
        "quiet": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        path = Path(str(self.env.srcdir)) / "results" / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        result = json.loads(path.read_text(encoding="utf-8"))
        table = result["tables"][self.options.get("table", 0)]
        chosen = [name.strip() for name in self.options.get("columns", "").split(",") if name.strip()]
        unknown = set(chosen) - set(table["columns"])
        if unknown:
            raise self.error(f"{path.name} has no column {sorted(unknown)}; its columns are {table['columns']}")
        every = range(len(table["columns"]))  # two columns may have one name
        places = [table["columns"].index(name) for name in chosen] if chosen else every
        lines = [[str(row[place]) for place in places] for row in table["rows"]]
        made: list[nodes.Node] = [self._table([table["columns"][place] for place in places], lines)]
        if "quiet" not in self.options:
            made.append(self._origin(result))
            made += [self._paragraph(remark) for remark in result.get("remarks", [])]
        return made

    def _table(self, head: list[str], lines: list[list[str]]) -> nodes.Node:
        group = nodes.tgroup(cols=len(head))
        group += [
            nodes.colspec(colwidth=max(len(cell) for cell in column)) for column in zip(head, *lines, strict=True)
        ]
        top, body = nodes.thead(), nodes.tbody()
        top += self._row(head)
        body += [self._row(line) for line in lines]
        group += [top, body]
        return nodes.table("", group, classes=["results"])

    def _paragraph(self, text: str) -> nodes.paragraph:
        parsed, messages = self.parse_inline(text, lineno=self.lineno)
        return nodes.paragraph("", "", *parsed, *messages)

    def _row(self, cells: list[str]) -> nodes.row:
        row = nodes.row()
        for cell in cells:
            entry = nodes.entry(classes=["short"] if len(cell) <= SHORT else [])
            # A cell may hold `names` and **stress**, as in Markdown.
            entry += self._paragraph(cell)
            row += entry
        return row

    def _origin(self, result: dict[str, Any]) -> nodes.Node:
        """How the numbers came to be: command, date, machine, versions."""
        line = nodes.paragraph(classes=["origin"])
        line += [nodes.Text("Made by "), nodes.literal(text=result["command"]), nodes.Text(f" on {result['date']}")]
        if result.get("machine"):
            line += nodes.Text(f", {result['machine']}")
        versions = ", ".join(f"{name} {number}" for name, number in result.get("versions", {}).items())
        if versions:
            line += nodes.Text(f"; {versions}")
        line += nodes.Text(". " + result["note"] if result.get("note") else ".")
        return line


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("results", Results)
    return {"version": "1", "parallel_read_safe": True}
