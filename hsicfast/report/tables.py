"""Prints tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hsicfast.report.content import clearest_pairs
from hsicfast.text import number, one_line, p_text, ratio

if TYPE_CHECKING:
    from hsicfast.indices.findings import Index, Pair


def print_indices(console: Console, title: str, indices: Sequence[Index]) -> None:
    """Print a table of indices."""
    words = {True: "matters", False: "open"}
    rows: list[Sequence[Any]] = [
        (i.name, number(i.hsic, 3), ratio(i.r2), p_text(i.pvalue_holm), i.n, i.group, words[i.matters]) for i in indices
    ]
    print_table(console, title, ("name", "HSIC>", "R2>", "p adjusted>", "n>", "group", "verdict"), rows)
    if not all(i.matters for i in indices):
        console.print(Text("open: no evidence either way at n trials, which does not say that it has no effect"))


def print_pairs(console: Console, pairs: Sequence[Pair]) -> None:
    """Print a table of the clearest pairs."""
    rows = [
        (f"{p.first} × {p.second}", number(p.pure, 3), p_text(p.pvalue_pure), number(p.hsic, 3), p_text(p.pvalue))
        for p in clearest_pairs(pairs)[:5]
    ]
    print_table(console, "Clearest interactions", ("pair", "alone>", "p>", "pair HSIC>", "p>"), rows)


def print_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table that fits any width; the names of number columns end in ``>``. Without rows, print nothing."""
    if not rows:
        return
    # Text and not str: rich would take a name such as "[red]" for markup.
    cells = [[Text(one_line(str(cell))) for cell in row] for row in rows]
    # A name broken in the middle is hard to find again, so the other columns shrink first.
    least = min(max(len(row[0]) for row in cells), 26)
    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for position, column in enumerate(columns):
        side: Literal["left", "right"] = "right" if column.endswith(">") else "left"
        whole = side == "right" or all(len(row[position]) <= 8 for row in cells)
        table.add_column(column.rstrip(">"), justify=side, no_wrap=whole, overflow="fold", min_width=least)
        least = 0
    for row in cells:
        table.add_row(*row)
    console.print(table)
