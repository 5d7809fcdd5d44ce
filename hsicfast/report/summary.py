"""Says what an analysis means for the next run, once for page and terminal: the answer, what to do, the rest."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.indices.places import percent
from hsicfast.indices.verdicts import FEW, MATTERS, OPEN, POWER, SAFE, TOGETHER, Verdict, trial_notes
from hsicfast.report.content import good_end
from hsicfast.text import clip, named, number, one_line, share_text, value_text

# The terminal shows an answer of up to MOST_LINES lines; a paragraph takes up to MOST_OF_ONE of them.
MOST_LINES, MOST_OF_ONE = 25, 3
HALF = "in one half of its values"
FULL = "Every table: --full; pictures and the rest: --report page.html"


class Action(NamedTuple):
    """What to do with one hyperparameter, and why."""

    name: str
    kind: str
    do: str
    why: str


class Configuration(NamedTuple):
    """One or two configurations side by side: a title, the heads, what they reached, and their values.

    Attributes
    ----------
    title : str
    heads : tuple of str
    facts, values : list of rows of texts
        The last text of a row is ``differs`` if two configurations differ there.
    saving : str
        What the second one saves and costs; empty if there is none.
    said : str
        What each reached, in a sentence; empty if the facts say it all.
    """

    title: str
    heads: tuple[str, ...]
    facts: list[Sequence[Any]]
    values: list[Sequence[Any]]
    saving: str = ""
    said: str = ""

    @property
    def pair(self) -> bool:
        """Whether there are two."""
        return len(self.heads) > 2

    @property
    def differing(self) -> list[Sequence[Any]]:
        """The rows of values that differ."""
        return [row for row in self.values if row[-1] == "differs"]

    @property
    def same(self) -> list[Sequence[Any]]:
        """The rows of values that are the same in both, or all rows if there is one configuration."""
        return [row for row in self.values if row[-1] != "differs"] if self.pair else self.values


def actions(findings: Conclusions) -> list[Action]:
    """What to do with each hyperparameter that has a verdict, what decides first."""
    found = [_action(verdict) for verdict in findings.verdict_list if verdict.kind in (MATTERS, TOGETHER, SAFE)]
    return sorted(found, key=lambda action: (MATTERS, TOGETHER, SAFE).index(action.kind))


def _action(verdict: Verdict) -> Action:
    do = {
        MATTERS: "tune it",
        TOGETHER: verdict.text.replace("matters only with", "tune it together with"),
        SAFE: f"fix it to {value_text(verdict.value)}",
    }
    return Action(verdict.name, verdict.kind, do[verdict.kind], verdict.evidence)


def without_verdict(findings: Conclusions) -> list[Verdict]:
    """The verdicts that say that nothing is known."""
    return [verdict for verdict in findings.verdict_list if verdict.kind in (OPEN, FEW)]


def others(findings: Conclusions) -> str:
    """What is not known, in one line: how many hyperparameters have no verdict, and what would have been seen."""
    found = without_verdict(findings)
    counted = Counter(verdict.kind for verdict in found)
    if not found:
        return ""
    n = counted[OPEN]
    every = "" if len(found) == len(findings.verdict_list) else "others" if n > 1 else "other"
    parts = []
    if n:
        who = f"{n} {every}" if every else f"All {n}" if n > 1 else "It"
        parts.append(f"{who}: no evidence either way; {_would_have_been_seen(findings, found)}")
    if counted[FEW]:
        few = f"{counted[FEW]} not judged: too few trials have {'it' if counted[FEW] == 1 else 'them'}"
        parts.append(few)
    return "; ".join(parts) + "."


def _would_have_been_seen(findings: Conclusions, found: list[Verdict]) -> str:
    """The effect that would have been seen of each hyperparameter without a verdict."""
    able = [verdict.reach for verdict in found if verdict.reach is not None]
    seen = [reach for reach in able if math.isfinite(reach.found)]
    n = findings.n
    if not able:
        return f"their values in these {n:,} trials cannot be compared"
    if not seen:
        return f"{n:,} trials are too few to see even the strongest effect for sure"
    halves = [reach.found for reach in seen if reach.part == HALF]
    if halves:
        effect = f"if {percent(max(halves))} of the good trials lay {HALF}"
    else:
        effect = f"above R² {number(max(reach.found_r2 for reach in seen), 2)}"
    said = f"in these {n:,} trials an effect would have been seen {effect} ({share_text(POWER)} power)"
    blind = len(able) - len(seen)
    return said + (f"; of {blind} of them even the strongest might have been missed" if blind else "")


def configuration_of(findings: Conclusions, metric: str, cost: str) -> Configuration:
    """The best trial of an analysis, what decides first."""
    best = findings.trials.best()
    facts: list[Sequence[Any]] = [(metric, number(best.objective))]
    facts += [(cost, number(best.cost))] if math.isfinite(best.cost) else []
    facts.append(("trial", str(best.index)))
    order = [action.name for action in actions(findings)]
    names = sorted(best.params, key=lambda name: order.index(name) if name in order else len(order))
    values = [(name, value_text(best.params[name])) for name in names]
    return Configuration("Best trial", ("name", "value"), facts, list(values))


def of_rows(
    title: str, heads: tuple[str, ...], rows: list[Sequence[Any]], findings: Conclusions, saving: str, said: str
) -> Configuration:
    """The configurations that a run chose, from the rows of its table."""
    space = findings.trials.space
    order = [action.name for action in actions(findings)]
    values = sorted(
        (row for row in rows if row[0] in space), key=lambda row: order.index(row[0]) if row[0] in order else len(order)
    )
    return Configuration(title, heads, [row for row in rows if row[0] not in space], values, saving, said)


def print_answer(
    console: Console,
    findings: Conclusions,
    configuration: Configuration,
    metric: str,
    *,
    before: Sequence[str] = (),
    notes: Sequence[str] = (),
    after: Sequence[str] = (),
    lines: int = MOST_LINES,
) -> None:
    """Print the answer in at most `lines` lines: what decides, what is good, what to use, what to do.

    Parameters
    ----------
    console : Console
    findings : Conclusions
    configuration : Configuration
    metric : str
        Name of the objective.
    before, notes, after : sequence of str
        Paragraphs before the answer, cautions after it, and the last lines, such as the path of a page.
    lines : int
        Lines that there is room for.
    """
    width = console.width
    first = [line for text in before for line in _wrapped(text, width, 2)]
    told = _wrapped(findings.headline, width, MOST_OF_ONE)
    told += _wrapped(" ".join([good_end(findings, metric), *trial_notes(findings)]), width, MOST_OF_ONE)
    used = [line for text in _chosen_texts(configuration) for line in _wrapped(text, width, 2)]
    cautions = [line for text in notes for line in _wrapped(text, width, 2)]
    last = [line for text in after for line in _wrapped(text, width, 2)]
    rest = _wrapped(others(findings), width, 2)
    room = lines - sum(map(len, (first, told, used, cautions, last, rest)))
    doing = _doing(findings, width, room)
    for line in first:
        console.print(Text(line, style="dim"))
    for line in told:
        console.print(Text(line, style="bold" if line in _wrapped(findings.headline, width, MOST_OF_ONE) else ""))
    for line in (*used, *doing, *rest, *cautions, *last):
        console.print(Text(line))


def _chosen_texts(configuration: Configuration) -> list[str]:
    """What was reached, the values of the best configuration, and those of the economical one that differ."""
    reached = configuration.said or f"Best: {', '.join(f'{row[0]} {row[1]}' for row in configuration.facts)}."
    texts = [reached, f"Its values: {_values(configuration.values, 1)}"]
    if configuration.pair:
        texts.append(f"The economical one has {_values(configuration.differing, 2)}")
    return texts


def _values(rows: Sequence[Sequence[Any]], column: int) -> str:
    return ", ".join(f"{clip(row[0])}={clip(row[column])}" for row in rows if row[column] != "absent") or "the same"


def _doing(findings: Conclusions, width: int, room: int) -> list[str]:
    """Lines on what to do, in the room there is."""
    found = actions(findings)
    told = found if len(found) <= room else found[: max(room - 1, 0)]
    lines: list[str] = []
    for place, action in enumerate(told, 1):
        # Each of the rest needs a line, too.
        most = 2 if room - len(lines) - (len(found) - place) >= 2 else 1
        lines += _wrapped(f"{clip(action.name)}: {action.do}; {action.why}", width, most, hang=2)
    if len(told) < len(found) and room > 0:
        lines += _wrapped(f"and {named((action.name for action in found[len(told) :]), 4)}", width, 1)
    return lines


def _wrapped(text: str, width: int, most: int, hang: int = 0) -> list[str]:
    """`text` in up to `most` lines of this width; what does not fit ends in an ellipsis."""
    return textwrap.wrap(
        one_line(text),
        width,
        max_lines=most,
        placeholder=" …",
        subsequent_indent=" " * hang,
        break_long_words=True,
        break_on_hyphens=False,
    )
