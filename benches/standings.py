"""What finished runs of the study say of each other: arithmetic, tables and a picture."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from scipy.stats import wilcoxon

from benches.problems import KINDS, kind_of
from benches.strategies import STRATEGIES
from hsicfast.report.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, legend, render, sheet, styled
from hsicfast.trials.goal import as_good_as, usual_tolerance

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
COLOURS = dict(zip(STRATEGIES, (VERMILION, INK, BLUE, GREEN, ORANGE, PURPLE, SKY), strict=False))
WORST = 3  # so many problems are named on which the reference is furthest behind


@dataclass(frozen=True)
class Plan:
    """A run to be made; `place` is the position of its problem in the surrogate's list."""

    problem: str
    place: int
    strategy: str
    n_trials: int
    seed: int

    def path(self, results: Path) -> Path:
        return results / self.problem / f"{self.strategy}-{self.n_trials}-{self.seed}.json"

    def __str__(self) -> str:
        return f"{self.strategy} on {self.problem}, {self.n_trials} trials, seed {self.seed}"


@dataclass(frozen=True)
class Run:
    """A finished run: objectives, costs and test metrics (n,) in the order of the trials, NaN for none.

    `said_best` and `said` are the best and the economical trial that the strategy names, if it names any, and `scatter`
    is how far it saw objectives of one configuration differ between seeds.
    """

    plan: Plan
    seconds: float
    objective: Floats
    cost: Floats
    test: Floats = field(default_factory=lambda: np.array([]))
    said: int | None = None
    said_best: int | None = None
    scatter: float = 0.0

    @property
    def best(self) -> int | None:
        """The trial that the strategy names, or else the one with the best objective, the earliest of equals."""
        if self.said_best is not None:
            return self.said_best
        return int(np.nanargmin(self.objective)) if np.isfinite(self.objective).any() else None

    @property
    def good(self) -> Bools:
        """Whether each trial is as good as the best, by the tolerance that our users get if they name none."""
        if self.best is None:
            return np.zeros(len(self.objective), dtype=bool)
        # The runs do not say which trials were drawn from the space, so that all of them count.
        tolerance = usual_tolerance(self.objective, np.zeros(len(self.objective), dtype=bool), self.scatter)
        return self.objective <= as_good_as(float(self.objective[self.best]), tolerance)

    @property
    def economical(self) -> int | None:
        """The trial that the strategy names, or else the cheapest that is as good as the best, the better of equals."""
        if self.said is not None or self.best is None:
            return self.said
        good = self.good
        return int(np.lexsort((self.objective, np.where(good, self.cost, np.inf), ~good))[0])

    @property
    def dominated(self) -> bool:
        """Whether a finished trial is better than the best by more than seeds scatter, and cheaper."""
        if self.best is None:
            return False
        better = self.objective < self.objective[self.best] - self.scatter
        return bool((better & (self.cost < self.cost[self.best])).any())

    @property
    def undercut(self) -> bool:
        """Whether a finished trial is as good as the best, and cheaper than the economical one."""
        return self.economical is not None and bool((self.good & (self.cost < self.cost[self.economical])).any())

    def score(self, trial: int | None, floor: float) -> float:
        """The score of a trial in the table: its test metric or its regret; inf if no trial ended well."""
        if trial is None:
            return np.inf
        tested = KINDS[kind_of(self.plan.problem)].tested
        return float(self.test[trial] if tested else self.objective[trial] - floor)

    def price(self, trial: int | None) -> float:
        return np.nan if trial is None else float(self.cost[trial])


def read(path: Path) -> Run:
    content = json.loads(path.read_text(encoding="utf-8"))
    plan = Plan(**{name: content[name] for name in Plan.__dataclass_fields__})
    trials = content["trials"]
    columns = ([trial[name] for trial in trials] for name in ("objective", "cost"))
    objective, cost = (np.array(column, dtype=np.float64) for column in columns)
    test = np.array([trial["metrics"].get("test") for trial in trials], dtype=np.float64)
    said = content["economical"], content.get("best"), content.get("scatter", 0.0)
    return Run(plan, content["seconds"], objective, cost, test, *said)


def read_all(folders: Iterable[Path]) -> list[Run]:
    """The runs in all folders; of runs with the same plan the one in the first of them."""
    found: dict[Plan, Run] = {}
    for folder in folders:
        # The files that a killed worker leaves end in `.part`.
        for path in sorted(folder.rglob("*.json")):
            run = read(path)
            found.setdefault(run.plan, run)
    return list(found.values())


def floors(runs: Iterable[Run]) -> dict[str, float]:
    """The best objective of all runs, by problem."""
    best: dict[str, float] = {}
    for run in runs:
        best[run.plan.problem] = float(np.nanmin([best.get(run.plan.problem, np.inf), *run.objective]))
    return best


def paired(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs by strategy, in one order of problem and seed, for the pairs that every strategy has made."""
    by_strategy: dict[str, dict[tuple[str, int], Run]] = {}
    for run in runs:
        by_strategy.setdefault(run.plan.strategy, {})[run.plan.problem, run.plan.seed] = run
    if not by_strategy:
        return {}
    common = sorted(set.intersection(*map(set, by_strategy.values())))
    order = [*STRATEGIES, *sorted(set(by_strategy) - set(STRATEGIES))]
    return {name: [by_strategy[name][pair] for pair in common] for name in order if name in by_strategy}


def differences(ours: Floats, theirs: Floats) -> Floats:
    """How much better we are, (n,); 0 if both failed."""
    return np.where(ours == theirs, 0.0, theirs - np.where(ours == theirs, 0.0, ours))


def wins(better: Floats) -> float:
    """The share of pairs that we win; a tie counts as half."""
    return float(np.mean((better > 0) + 0.5 * (better == 0)))


def chance(better: Floats) -> float:
    """Wilcoxon's p, two-sided; NaN for a single pair."""
    if len(better) < 2:
        return np.nan
    return float(wilcoxon(better).pvalue) if better.any() else 1.0


def by_problem(runs: list[Run], better: Floats) -> Floats:
    """The median over the seeds for each problem."""
    names = np.array([run.plan.problem for run in runs])
    return np.array([np.median(better[names == name]) for name in dict.fromkeys(names.tolist())])


def ratio(theirs: Floats, ours: Floats) -> float:
    """The median of their cost over ours, for pairs with both known; equal costs give 1, even if both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nanmedian(np.where(theirs == ours, 1.0, theirs / ours)))


def as_good(ours: list[Run], theirs: list[Run]) -> float:
    """The median cost of our cheapest trial that is as good as their best, over the cost of that; NaN without any."""
    shares = []
    for our, their in zip(ours, theirs, strict=True):
        if their.best is not None:
            price = their.price(their.best)
            cost = np.min(our.cost[our.objective <= their.objective[their.best]], initial=np.inf)
            shares.append(1.0 if cost == price else cost / price)
    return float(np.median(shares)) if shares else np.nan


def our_economical(ours: list[Run], theirs: list[Run]) -> tuple[Floats, Floats]:
    """The cost of our economical trial over that of their best, and how far its objective is behind; (pairs,) each.

    NaN and inf if we have none; pairs in which they have no best are left out.
    """
    shares, behind = [], []
    for our, their in zip(ours, theirs, strict=True):
        if their.best is not None:
            cost, price = our.price(our.economical), their.price(their.best)
            with np.errstate(divide="ignore", invalid="ignore"):
                shares.append(1.0 if cost == price else float(np.float64(cost) / price))
            loss = np.inf if our.economical is None else our.objective[our.economical]
            behind.append(float(loss - their.objective[their.best]))
    return np.array(shares), np.array(behind)


def furthest_behind(
    runs: dict[str, list[Run]], floor: dict[str, float], reference: str
) -> list[tuple[str, float, str]]:
    """For each problem: how far the median score of the reference is behind the best other, and whose; the worst first.

    Empty if there is no other strategy.
    """
    medians: dict[str, dict[str, float]] = {}
    for name, own in runs.items():
        problems = dict.fromkeys(run.plan.problem for run in own)
        for problem, median in zip(problems, by_problem(own, scores(own, floor)), strict=True):
            medians.setdefault(problem, {})[name] = float(median)
    found = []
    for problem, own_medians in medians.items():
        ours = own_medians.pop(reference)
        if own_medians:
            best = min(own_medians, key=lambda name: own_medians[name])
            found.append((problem, float(differences(np.array(own_medians[best]), np.array(ours))), best))
    return sorted(found, key=lambda entry: -entry[1])


def scores(own: list[Run], floor: dict[str, float]) -> Floats:
    """The scores of the best trials, (n,)."""
    return np.array([run.score(run.best, floor[run.plan.problem]) for run in own])


def quartiles(values: Floats) -> str:
    return " to ".join(f"{q:.3g}" for q in np.quantile(values, (0.25, 0.75)))


def ranks(kind: str, runs: dict[str, list[Run]], floor: dict[str, float], reference: str, style: box.Box) -> Table:
    """How good the best trials are, a line for each strategy; `reference` is compared with each of the others."""
    count, problems = len(runs[reference]), len({run.plan.problem for run in runs[reference]})
    title = f"{kind}: problems {problems}, runs a strategy {count}"
    head = ("strategy", f"{KINDS[kind].metric}, median", "mean", "quartiles")
    against = (f"{reference} wins", "ties, half a win each", "p, pairs", "p, problems")
    table = Table(*head, *against, "seconds a run", title=title, box=style)
    ours = scores(runs[reference], floor)
    for name, own in runs.items():
        score = scores(own, floor)
        better = differences(ours, score)
        over = (chance(better), chance(by_problem(own, better)))
        judged = [f"{wins(better):.0%}", f"{np.mean(better == 0):.0%}", *(f"{p:.2g}" for p in over)]
        seconds = np.median([run.seconds for run in own])
        cells = (f"{np.median(score):.3g}", f"{np.mean(score):.3g}", quartiles(score))
        table.add_row(*shown(name, *cells, *([""] * 4 if name == reference else judged), f"{seconds:.3g}"))
    return table


def prices(kind: str, runs: dict[str, list[Run]], floor: dict[str, float], reference: str, style: box.Box) -> Table:
    """What the best and the economical trials cost, medians; `reference` is compared with each of the others."""
    metric, cost, close = KINDS[kind].metric, KINDS[kind].cost, KINDS[kind].close
    head = ("strategy", f"best: {cost}", f"× {reference}'s", f"economical: {metric}", cost, f"× {reference}'s")
    equal = f"{reference}'s cheapest as good as its best: cost, × its"
    thrifty = (f"{reference}'s economical: cost, × its best's", "objective behind its best (quartiles)")
    table = Table(*head, equal, *thrifty, f"at most {close:g} behind", title=f"{kind}: cost", box=style)

    def measured(own: list[Run]) -> tuple[Floats, ...]:
        rows = [(run, floor[run.plan.problem], run.best, run.economical) for run in own]
        return tuple(np.array([(r.price(b), r.score(e, f), r.price(e)) for r, f, b, e in rows]).T)

    ours = measured(runs[reference])
    for name, own in runs.items():
        price, economical, low_price = theirs = measured(own)
        times, judged = ["", ""], [""] * 4
        if name != reference:
            times = [f"{ratio(theirs[i], ours[i]):.2f}" for i in (0, 2)]
            shares, behind = our_economical(runs[reference], own)
            judged = [f"{as_good(runs[reference], own):.2f}", *["–"] * 3]
            if len(behind):
                middle = f"{np.median(behind):.3g} ({quartiles(behind)})"
                judged[1:] = [f"{np.nanmedian(shares):.2f}", middle, f"{np.mean(behind <= close):.0%}"]
        middles = [f"{np.nanmedian(values):.3g}" for values in (price, economical, low_price)]
        table.add_row(*shown(name, middles[0], times[0], *middles[1:], times[1], *judged))
    return table


def shown(*cells: str) -> list[str]:
    return ["–" if cell == "nan" else cell for cell in cells]


def notes(runs: dict[str, list[Run]], floor: dict[str, float], reference: str) -> list[str]:
    """What no median shows: where the reference is furthest behind, and winners that other trials make doubtful."""
    behind = furthest_behind(runs, floor, reference)[:WORST]
    named = ", ".join(f"{problem} {far:.3g} ({name})" for problem, far, name in behind)
    lines = [f"{reference} is furthest behind the best other median on: {named}"] if named else []
    for name, own in runs.items():
        if any(run.said_best is not None for run in own):
            doubts = [sum(getattr(run, doubt) for run in own) for doubt in ("dominated", "undercut")]
            lines.append(
                f"{name}: of {len(own)} runs, {doubts[0]} have a finished trial better and cheaper than the best, "
                f"{doubts[1]} one as good as the best and cheaper than the economical"
            )
    return lines


@styled
def draw(kind: str, runs: dict[str, list[Run]], floor: dict[str, float]) -> bytes:
    """Draw the best objective so far minus the best of all, against the trials: median and quartiles of the runs."""
    figure = sheet(6.4, 4.0)
    axes = figure.add_subplot(title=f"{kind}: best so far", xlabel="trials", yscale="log")
    axes.set_ylabel("objective beyond the best ever seen")
    for name, own in runs.items():
        regrets = np.array([so_far(run) - floor[run.plan.problem] for run in own])
        low, middle, high = np.quantile(regrets, (0.25, 0.5, 0.75), axis=0, method="nearest")
        trials = np.arange(1, regrets.shape[1] + 1)
        axes.fill_between(trials, low, high, color=COLOURS.get(name), alpha=0.12, linewidth=0, step="post")
        axes.plot(trials, middle, color=COLOURS.get(name), label=name, drawstyle="steps-post")
    legend(figure)
    return render(figure, "png")


def so_far(run: Run) -> Floats:
    return np.minimum.accumulate(np.where(np.isfinite(run.objective), run.objective, np.inf))
