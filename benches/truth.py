"""Does every sentence of an analysis hold? ``python benches/truth.py [--only levels] [--studies 400] [--quick]``.

We draw many tables of trials whose truth is known, ask :func:`hsicfast.analyse` about each, and count how often an
answer is wrong. The bench knows only what a user sees: frames, pairs and verdicts. Truth comes from other means: from
how the trials were drawn, and for intervals from an integral.

A cell that breaks its claim says "NO". A claim allows for chance: it breaks if the count exceeds the binomial quantile
of the claimed probability: at 1e-4, or at two standard deviations for families, or at the median, which allows for
nothing, for intervals, inert ones called safe and one of 60. A p-value that is NaN rejects nothing. ``n`` counts
the configurations, of which "repeats" trains each 5 times.
"""

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from itertools import product
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import binom

from benches.functions import FUNCTIONS
from benches.results import add_json, write_results
from hsicfast import Bool, Choice, Float, Int, SearchSpace, Sensitivity, TrialTable, analyse

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Answers = Iterator[tuple["Claim", float]]  # one study's answers: 1 if the event happened, or a share
Study = Callable[[np.random.Generator, int], Answers]
Effect = Callable[[Floats], Any]  # from the values (n, d), mapped to [0, 1], to the objective without noise
Counts = dict["Claim", tuple[float, int]]  # sum of the answers, and their number

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
RARELY, TWO_SD, NEVER = 1e-4, float(ndtr(-2.0)), 0.5  # the binomial median is as strict as a count can be
LEVELS, SIZES = (0.01, 0.05, 0.1), (30, 50, 100, 300)
CHUNK, QUICK, QUICK_MOST = 25, 40, 500
SEEDS, TABLES = 50, 200  # studies of `found`, which has 6 functions, and of `many`, which has 60 columns, at most
REPEATS = {"repeats": 5, "doubled": 2}
BANDWIDTH = 1 - 1 / math.sqrt(2)  # median distance of two uniform values
GRID = 3000  # intervals of [0, 1]: the edges of all steps below lie between two of them
POWER_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s?% of the good trials (.+), would have been found with (\d+)% power")

EIGHT = Choice(list("abcdefgh"), law=[8, 5, 4, 3, 2, 2, 1, 1])
SIX = {
    "Float": Float(0, 1),
    "Int of 3": Int(1, 3),
    "Choice of 2": Choice(["a", "b"], law=[7, 3]),
    "Choice of 3": Choice(["a", "b", "c"], law=[6, 3, 1]),
    "Choice of 8": EIGHT,
    "Bool .05": Bool(law=0.05),
}
FAMILY = {"Float a": Float(0, 1), **SIX, "Float b": Float(0, 1)}
COUPLE = {"a": Float(0, 1), "Float": Float(0, 1), "Bool .05": Bool(law=0.05), "Choice of 8": EIGHT}
ASKED = {"Float": Float(0, 1), "Bool": Bool(), "Bool .05": Bool(law=0.05), "Choice of 3": SIX["Choice of 3"]}


class Claim(NamedTuple):
    """An event whose probability is claimed to lie in [low, high]; `chance` is what a true claim is broken with."""

    what: str
    n: int
    low: float = 0.0
    high: float = 1.0
    chance: float = RARELY

    def bounds(self, studies: int) -> tuple[float, float]:
        """The smallest and the largest rate that do not break the claim."""
        low, high = binom.ppf((self.chance, 1 - self.chance), studies, (self.low, self.high)) / studies
        return float(low), float(high)

    def holds(self, rate: float, studies: int) -> bool:
        low, high = self.bounds(studies)
        return low <= rate <= high

    def text(self, low: float, high: float, digits: int = 0) -> str:
        """The claim with other ends, such as its bounds; empty if it claims nothing."""
        if (self.low, self.high) == (0.0, 1.0):
            return ""
        if self.low == 0.0:
            return f"≤ {high:.{digits}%}"
        return f"≥ {low:.{digits}%}" if self.high == 1.0 else f"{low:.{digits}%} to {high:.{digits}%}"


class Plan(NamedTuple):
    """A kind of study, made at most `most` times."""

    group: str
    n: int
    study: Study
    most: int = 10**9


def mapped(hyperparameter: Any, u: Floats) -> Any:
    """Values (n,) at the quantiles u (n,) in [0, 1) of the hyperparameter's law."""
    if isinstance(hyperparameter, Float):
        return u
    law = hyperparameter.law
    weights = [1 - law, law] if isinstance(law, float) else law or [1] * hyperparameter.levels
    edges = np.cumsum(weights) / np.sum(weights)
    return np.array(hyperparameter.values, dtype=object)[np.searchsorted(edges[:-1], u, side="right")]


def floats(d: int) -> dict[str, Any]:
    return {f"h{place}": Float(0, 1) for place in range(d)}


def nothing(u: Floats) -> float:
    return 0.0


def alone(u: Floats) -> Floats:
    """The first decides alone, as far as the noise lets it."""
    return 10 * u[:, 0]


def wave(u: Floats) -> Floats:
    return 10 * np.cos(4 * np.pi * u[:, 0])


def parity(parts: int, several: int, u: Floats) -> Floats:
    """The exclusive-or of the first `several`, each cut into so many `parts`."""
    return 10 * (np.floor(parts * u[:, :several]).sum(axis=1) % 2)


def drawn(kind: str, n: int, d: int, random: np.random.Generator, effect: Effect = nothing) -> tuple[Floats, Floats]:
    """Values (m, d), mapped to [0, 1], and objectives (m,), whose noise has standard deviation 1."""
    u = random.beta(2, 5, (n, d)) if kind == "crowded" else random.random((n, d))
    if kind == "correlated":
        normal = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], n)
        u[:, :2] = ndtr(normal)
    if kind == "copied":
        u[:, 1] = u[:, 0]
    y = effect(u) + random.standard_normal(n)
    if kind == "ties":
        y = np.clip(np.round(y), -2, 2)
    if kind == "diverged":
        y[random.random(n) < 0.3] = np.nan
    # What no hyperparameter explains is an effect of the configuration; each training adds the noise of its seed.
    rows = np.repeat(np.arange(n), REPEATS.get(kind, 1))
    return u[rows], y[rows] + (0.5 * random.standard_normal(len(rows)) if kind == "repeats" else 0.0)


def asked(kinds: dict[str, Any], u: Floats, y: Floats, **options: Any) -> Sensitivity:
    """The analysis of trials at u (n, d)."""
    space = SearchSpace(kinds)
    values = {name: mapped(kind, u[:, place]) for place, (name, kind) in enumerate(kinds.items())}
    return analyse(space, TrialTable.from_arrays(space, values, y), **options)


def law_of(kind: str) -> dict[str, Any]:
    """The law that is passed; crowded trials are said to follow that of the space, which is wrong."""
    return {"ranks": {"law": "ranks"}, "crowded": {"law": "space"}}.get(kind, {})


def level(kind: str, n: int, random: np.random.Generator, number: int) -> Answers:
    """Noise is significant no more often than the level says."""
    u, y = drawn(kind, n, len(SIX), random)
    pvalues = asked(SIX, u, y, pairs=False, **law_of(kind)).to_frame()["pvalue"]
    for name, at in product(SIX, LEVELS):
        yield Claim(f"{kind}: {name}", n, high=at), pvalues[name] <= at


def family(kind: str, effect: Effect, n: int, random: np.random.Generator, number: int) -> Answers:
    """Among 8 hyperparameters, any inert one is significant after Holm in 5% of the studies at most."""
    u, y = drawn(kind, n, len(FAMILY), random, effect)
    inert = list(FAMILY)[effect is alone :]
    pvalues = asked(FAMILY, u, y, pairs=False).to_frame()["pvalue_holm"]
    what = f"{kind}, {effect.__name__} matters: any inert one"
    yield Claim(what, n, high=0.05, chance=TWO_SD), (pvalues[inert] <= 0.05).any()


def pvalues_of_pairs(found: Sensitivity) -> dict[frozenset[str], tuple[float, float]]:
    """The p-values of each pair: of the published index, and of the pure one."""
    pairs = found.pairs
    names = map(frozenset, zip(pairs["first"], pairs["second"], strict=True))
    return dict(zip(names, zip(pairs["pvalue"], pairs["pvalue_pure"], strict=True), strict=True))


def pair(kind: str, effect: Effect, n: int, random: np.random.Generator, number: int) -> Answers:
    """Where nothing acts together, no pair does more often than the level says."""
    u, y = drawn(kind, n, len(COUPLE), random, effect)
    found = asked(COUPLE, u, y, **law_of(kind))
    pvalues = pvalues_of_pairs(found)
    partners = ["Float"] if kind in ("correlated", "copied") else list(COUPLE)[1:]
    what = f"{kind}, {effect.__name__} matters"
    for partner, at in product(partners, LEVELS):
        published, pure = pvalues.get(frozenset(("a", partner)), (np.nan, np.nan))
        if effect is nothing:
            yield Claim(f"{what}: published pair with {partner}", n, high=at), published <= at
        yield Claim(f"{what}: pure pair with {partner}", n, high=at), pure <= at
    yield Claim(f"{what}: any verdict 'together'", n, high=0.05), "together" in set(found.verdicts()["kind"])


def pair_family(effect: Effect, n: int, random: np.random.Generator, number: int) -> Answers:
    """Of the 28 pairs of 8 hyperparameters, any is significant after Holm in 5% of the studies at most."""
    u, y = drawn("plain", n, len(FAMILY), random, effect)
    pure = np.array([pvalues[1] for pvalues in pvalues_of_pairs(asked(FAMILY, u, y)).values()])
    tested = pure[np.isfinite(pure)]
    what = f"8 hyperparameters, {effect.__name__} matters: any pure pair after Holm"
    yield Claim(what, n, high=0.05), len(tested) * tested.min(initial=1.0) <= 0.05


def pair_power(n: int, random: np.random.Generator, number: int) -> Answers:
    """How often an exclusive-or is found."""
    u, y = drawn("plain", n, 2, random, partial(parity, 2, 2))
    ((_, pure),) = pvalues_of_pairs(asked(floats(2), u, y, goal=0.3)).values()
    yield Claim("exclusive-or of two, goal 0.3: pure pair ≤ 5%", n), pure <= 0.05


class Shape(NamedTuple):
    """How the objective depends on a value mapped to [0, 1], and the noise on it."""

    kind: Any
    curve: Callable[[Floats], Floats]
    noise: float


SHAPES = {
    "linear": Shape(Float(0, 1), lambda u: u, 0.3),
    "U": Shape(Float(0, 1), lambda u: (u - 0.5) ** 2, 0.0),
    "U with noise": Shape(Float(0, 1), lambda u: (u - 0.5) ** 2, 0.1),
    "wave": Shape(Float(0, 1), lambda u: np.cos(4 * np.pi * u), 0.5),
    "rare": Shape(Bool(law=0.05), lambda u: np.where(u < 0.95, 0.0, -2.0), 1.0),
    "strong Bool": Shape(Bool(), lambda u: np.where(u < 0.5, 0.0, -1.5), 1.0),
    "Choice of 3": Shape(Choice(["a", "b", "c"]), lambda u: np.floor(3 * u), 1.0),
    "inert": Shape(Float(0, 1), np.zeros_like, 1.0),
}


@lru_cache
def true_index(shape: str, goal: float) -> float:
    """``E (q(U) - p) (q(U') - p) k(U, U')``, where q(u) is the probability of a good trial at u, and p its mean."""
    _, curve, noise = SHAPES[shape]
    u = (np.arange(GRID) + 0.5) / GRID
    y = curve(u)
    if noise == 0.0:
        q = (y <= np.sort(y)[round(goal * GRID) - 1]).astype(np.float64)
    else:
        edge = brentq(lambda t: ndtr((t - y) / noise).mean() - goal, y.min() - 9 * noise, y.max() + 9 * noise)
        q = ndtr((edge - y) / noise)
    k = np.exp(-((u[:, None] - u) ** 2) / (2 * BANDWIDTH**2))
    return float((q - goal) @ k @ (q - goal)) / GRID**2


def coverage(shape: str, goal: float, n: int, random: np.random.Generator, number: int) -> Answers:
    """The true index lies in 95% of the 95% intervals; if it is 0, the end of its range, in more of them."""
    kind, curve, noise = SHAPES[shape]
    u = random.random((n, 1))
    y = curve(u[:, 0]) + noise * random.standard_normal(n)
    found = asked({shape: kind}, u, y, goal=goal, bandwidth=BANDWIDTH, confidence=0.95, pairs=False).to_frame()
    truth, row = true_index(shape, goal), found.loc[shape]
    claim = Claim(f"{shape}, goal {goal}", n, 0.92, 1.0 if shape == "inert" else 0.98, NEVER)
    # An interval of length 0 at a truth of 0 is right, and rounding must not make it wrong.
    yield claim, row["ci_low"] - 1e-12 <= truth <= row["ci_high"] + 1e-12


def wrongly_safe(what: str, effect: Effect, several: int, n: int, random: np.random.Generator, number: int) -> Answers:
    """What matters, and be it only together with others, is hardly ever safe to fix."""
    u, y = drawn("plain", n, 8, random, effect)
    kinds = asked(floats(8), u, y, goal=0.3).verdicts()["kind"]
    safe = (kinds[list(floats(several))] == "safe").any()
    yield Claim(f"{what}: one that matters is called safe", n, high=0.05), safe


def rightly_safe(effect: Effect, n: int, random: np.random.Generator, number: int) -> Answers:
    """Half of the inert ones are safe to fix, given enough trials."""
    u, y = drawn("plain", n, 8, random, effect)
    kinds = asked(floats(8), u, y, goal=1 / 3).verdicts()["kind"]
    what = f"{effect.__name__} matters: inert ones called safe"
    yield Claim(what, n, low=0.5, chance=NEVER), (kinds[list(floats(8))[effect is alone :]] == "safe").mean()


def many(effect: Effect, n: int, random: np.random.Generator, number: int) -> Answers:
    """Among 60 columns, the one that decides is found beyond doubt, and noise stays noise."""
    u, y = drawn("plain", n, 60, random, effect)
    pvalues = asked(floats(60), u, y, pairs=False).to_frame()["pvalue_holm"]
    if effect is alone:
        yield Claim("one of 60 decides: its Holm p ≤ 0.005", n, low=0.99, chance=NEVER), pvalues["h0"] <= 0.005
    what = f"60 columns, {effect.__name__} matters: any inert one"
    yield Claim(what, n, high=0.05), (pvalues[list(floats(60))[effect is alone :]] <= 0.05).any()


def named_part(text: str, values: Any, u: Floats) -> tuple[Bools, float]:
    """The trials in the part that a verdict names, and the share of all trials that lies in it by chance."""
    if text == "in one half of its values":
        return u >= 0.5, 0.5
    part = np.array([f"with {value}," in text for value in values])
    return part, float(part.mean())


def good_in(part: Bools, chance: float, share: float, goal: float, random: np.random.Generator) -> Floats:
    """Objectives (n,) of trials of which the best, as many as the goal says, lie in this part with this share.

    Each trial is good with one probability in the part and with another outside, given the number of good ones.
    """
    n, inside, outside = len(part), share * goal / chance, (1 - share) * goal / (1 - chance)
    while True:
        good = random.random(n) < np.where(part, inside, outside)
        if good.sum() == round(goal * n):
            return random.random(n) + ~good


def power(goal: float, n: int, random: np.random.Generator, number: int) -> Answers:
    """The effect that an open verdict names is found in these trials as often as it says."""
    u, y = drawn("plain", n, len(ASKED), random)
    verdicts = asked(ASKED, u, y, goal=goal).verdicts()
    for place, (name, kind) in enumerate(ASKED.items()):
        if verdicts.loc[name, "kind"] == "open":
            named = POWER_TEXT.search(str(verdicts.loc[name, "evidence"]))
            yield Claim(f"goal {goal}: {name} is open and names an effect", n), named is not None
            if named:
                part, chance = named_part(named[2], mapped(kind, u[:, place]), u[:, place])
                loss = good_in(part, chance, float(named[1]) / 100, goal, random)
                again = asked(ASKED, u, loss, goal=goal, pairs=False).to_frame()
                what = f"goal {goal}: the effect named for {name} is found"
                yield Claim(what, n, low=float(named[3]) / 100), again.loc[name, "pvalue_holm"] <= 0.05


def found(n: int, random: np.random.Generator, number: int) -> Answers:
    """How much of the relevant set is significant, and how often an inert one is; seed `number`."""
    for function in FUNCTIONS:
        names = set(analyse(function.space, function.trials(n, number), pairs=False).significant())
        share = len(names & function.relevant) / len(function.relevant)
        yield Claim(f"{function.name}: share of the relevant", n), share
        yield Claim("all six: share of the relevant", n), share
        yield Claim("all six: any inert one", n, high=0.05), not names <= function.relevant


COUPLED = [*product(("plain", "crowded"), (nothing, alone)), ("correlated", alone), ("copied", alone)]
XOR = {"halves": (2, 2), "quarters": (4, 2), "three halves": (2, 3)}


def plans() -> Iterator[Plan]:
    """All studies, group by group."""
    for kind, n in product(("plain", "ties", "diverged", "ranks", "crowded"), SIZES):
        yield Plan("levels", n, partial(level, kind, n))
    for effect, n in product((nothing, alone), SIZES):
        yield Plan("families", n, partial(family, "plain", effect, n))
    for (kind, effect), n in product(COUPLED, SIZES):
        yield Plan("pairs", n, partial(pair, kind, effect, n))
    for effect, n in product((nothing, alone), (50, 100, 300)):
        yield Plan("pairs", n, partial(pair_family, effect, n))
    yield Plan("pairs", 100, partial(pair_power, 100))
    for shape, goal, n in product(SHAPES, (0.1, 0.3), (*SIZES, 1000)):
        if n * goal >= 3 - 1e-9:
            yield Plan("coverage", n, partial(coverage, shape, goal, n))
    for n in (300, 1000):
        yield Plan("safe", n, partial(wrongly_safe, "cosine of two periods", wave, 1, n))
        for what, (parts, several) in XOR.items():
            effect = partial(parity, parts, several)
            yield Plan("safe", n, partial(wrongly_safe, f"exclusive-or of {what}", effect, several, n))
    yield from (Plan("safe", 300, partial(rightly_safe, effect, 300)) for effect in (nothing, alone))
    yield from (Plan("many", 500, partial(many, effect, 500), TABLES) for effect in (alone, nothing))
    for kind, n in product(REPEATS, SIZES):
        yield Plan("repeats", n, partial(level, kind, n))
    for effect, n in product((nothing, alone), SIZES):
        yield Plan("repeats", n, partial(family, "repeats", effect, n))
    for effect, n in product((nothing, alone), (30, 100)):
        yield Plan("repeats", n, partial(pair, "repeats", effect, n))
    for goal, n in product((0.1, 0.3), (50, 100, 300)):
        yield Plan("power", n, partial(power, goal, n))
    yield from (Plan("found", n, partial(found, n), SEEDS) for n in (50, 100, 200))


GROUPS = tuple(dict.fromkeys(plan.group for plan in plans()))


def count(plan: Plan, key: tuple[int, ...], numbers: Iterable[int]) -> Counts:
    """The answers of these studies; the trials of a study depend on nothing but its key and number."""
    studies = (plan.study(np.random.default_rng((*key, number)), number) for number in numbers)
    return merged({claim: (float(answer), 1)} for study in studies for claim, answer in study)


def counted(chosen: dict[int, Plan], studies: int, seed: int, processes: int) -> Counts:
    """The answers of all studies of these plans, which are given with their places among all plans."""
    parts = [
        (plan, (seed, place), range(start, min(start + CHUNK, studies, plan.most)))
        for place, plan in chosen.items()
        for start in range(0, min(studies, plan.most), CHUNK)
    ]
    show = partial(track, total=len(parts), console=Console(stderr=True), transient=True)
    if processes == 1:
        return merged(show(count(*part) for part in parts))
    # Spawned processes inherit these before they import NumPy and Numba, which read them once.
    os.environ.update(dict.fromkeys(THREADS, "1"))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return merged(show(pool.map(count, *zip(*parts, strict=True))))


def merged(parts: Iterable[Counts]) -> Counts:
    total: Counts = {}
    for part in parts:
        for claim, (hits, tries) in part.items():
            before = total.get(claim, (0.0, 0))
            total[claim] = (before[0] + hits, before[1] + tries)
    return total


def rows(group: str, counts: Counts) -> list[dict[str, Any]]:
    """A line for each claim."""
    found = {claim: (hits / tries, tries) for claim, (hits, tries) in counts.items()}
    return [
        {"group": group, **claim._asdict(), "rate": rate, "studies": tries, "bounds": claim.bounds(tries)}
        | {"holds": claim.holds(rate, tries)}
        for claim, (rate, tries) in found.items()
    ]


def tabulate(group: str, counts: Counts, style: box.Box) -> Table:
    """A line for each claim, and a column for each n."""
    sizes = sorted({claim.n for claim in counts})
    table = Table("cell", "claim", *(f"n = {n}" for n in sizes), "studies", "bound", title=group, box=style)
    lines: dict[Claim, dict[int, tuple[float, int]]] = {}
    for claim, (hits, tries) in counts.items():
        lines.setdefault(claim._replace(n=0), {})[claim.n] = (hits / tries, tries)
    for claim, rates in lines.items():
        cells = {n: f"{rate:.1%}{'' if claim.holds(rate, tries) else ' NO'}" for n, (rate, tries) in rates.items()}
        fewest, most = (choose(tries for _, tries in rates.values()) for choose in (min, max))
        studies = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        texts = (claim.text(claim.low, claim.high), claim.text(*claim.bounds(fewest), digits=1))
        table.add_row(claim.what, texts[0], *(cells.get(n, "") for n in sizes), studies, texts[1])
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Does every sentence of an analysis hold?")
    parser.add_argument("--only", choices=GROUPS, help="one group of claims by itself")
    parser.add_argument("--studies", type=int, default=400, help="studies a cell (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} studies a cell, n up to {QUICK_MOST}")
    parser.add_argument("--processes", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--markdown", action="store_true", help="print GitHub Markdown")
    add_json(parser)
    options = parser.parse_args(arguments)
    studies, most = (QUICK, QUICK_MOST) if options.quick else (options.studies, math.inf)
    console = Console(width=160, soft_wrap=True) if options.markdown else Console()
    lines: list[dict[str, Any]] = []
    tables: list[Table] = []
    for group in GROUPS if options.only is None else (options.only,):
        chosen = {place: plan for place, plan in enumerate(plans()) if plan.group == group and plan.n <= most}
        counts = counted(chosen, studies, options.seed, options.processes)
        tables.append(tabulate(group, counts, box.MARKDOWN if options.markdown else box.SIMPLE_HEAD))
        console.print(tables[-1])
        lines += rows(group, counts)
        write_results(options.json, tables, f"{studies} studies a cell.", cells=lines)
    console.print(f"{sum(not line['holds'] for line in lines)} of {len(lines)} cells break their claim")


if __name__ == "__main__":
    main()
