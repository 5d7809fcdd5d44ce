"""We measure ourselves and our peers in one run: ``python benches/peers.py [--quick] [--rows NAME,...] [--markdown]``.

It prints one table: the time of a call here, the time of a peer for the same, the ratio, its bar, and how far the
answers agree. Figures are medians of `--repeats` rounds after a warm-up, with both sides in turn within a round. Peers
run with their defaults, threads included. ``pip install -c constraints.txt -e ".[peers]"`` installs them; the table
leaves missing ones out, and names them.
"""

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from timeit import timeit
from typing import Any, NamedTuple

import numpy as np
import optuna
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import optimize
from scipy.spatial.distance import pdist, squareform

from benches.results import add_json, machine, versions, write_results
from hsicfast import Float, Int, SearchSpace, TrialTable, analyse, goal_hsic, hsic
from hsicfast.engines.kernels import KERNELS
from hsicfast.space.distributions import distribution
from hsicfast.trials.goal import best_fraction

PEERS = ("openturns", "hyppo", "SALib")
DEFAULTS = "Peers with their defaults, threads included."
ROUND = 0.05  # a round repeats a fast call until it has taken this many seconds


class Plan(NamedTuple):
    """How much to measure; `size` chooses between the full and the quick size."""

    quick: bool
    repeats: int

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


class Measured(NamedTuple):
    """The median of `repeats` timed calls, and what the warm-up returned."""

    seconds: float
    repeats: int
    value: Any = None


class Line(NamedTuple):
    """A line of the table; `met` is None if there is no bar."""

    what: str
    ours: str = ""
    peer: str = ""
    theirs: str = ""
    ratio: str = ""
    bar: str = ""
    met: bool | None = None
    repeats: str = "1"
    agreement: str = ""


def measure(plan: Plan, *calls: Callable[[], Any]) -> list[Measured]:
    """Time `calls` in turn, so that a busy moment of the machine affects all of them."""
    values = [call() for call in calls]  # the warm-up
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(plan.repeats):
        for call, own in zip(calls, samples, strict=True):
            time.sleep(0.1)  # OpenBLAS's threads spin for some 30 ms after a call, on cores that the next call needs
            spent = 0.0
            while spent < ROUND:
                own.append(timeit(call, number=1))
                spent += own[-1]
    return [Measured(statistics.median(own), len(own), value) for own, value in zip(samples, values, strict=True)]


def measure_fresh(plan: Plan, *codes: str) -> list[Measured]:
    """As :func:`measure`, for the seconds that `codes` print, each time in a new Python."""
    turns = [[float(fresh_process(code)) for code in codes] for _ in range(plan.repeats + 1)][1:]
    return [Measured(statistics.median(samples), len(samples)) for samples in zip(*turns, strict=True)]


def fresh_process(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def compare(what: str, ours: Measured, peer: str, theirs: Measured, agreement: str = "", **bars: float) -> Line:
    """A line for two times: ours must be `least` times faster, or take at most `most` times the peer's."""
    gain = theirs.seconds / ours.seconds
    ratio, bar, met = f"{gain:,.0f}x faster" if gain >= 100 else f"{gain:.3g}x faster", "", None
    if "least" in bars:
        bar, met = f"≥ {bars['least']:,}x faster", gain >= bars["least"]
    if "most" in bars:
        ratio, bar, met = f"{1 / gain:.3g}x its time", f"≤ {bars['most']}x its time", 1 / gain <= bars["most"]
    repeats = f"{ours.repeats} / {theirs.repeats}"
    return Line(what, duration(ours.seconds), peer, duration(theirs.seconds), ratio, bar, met, repeats, agreement)


def duration(seconds: float) -> str:
    factor, unit = next(((f, u) for f, u in ((1.0, "s"), (1e3, "ms")) if seconds * f >= 1), (1e6, "µs"))
    return f"{seconds * factor:.3g} {unit}"


def chances(ours: float, theirs: float, n_permutations: int) -> str:
    """Two p-values of `n_permutations` each, with four standard errors of their difference."""
    middle = (ours + theirs) / 2
    error = 4 * math.sqrt(2 * middle * (1 - middle) / n_permutations)
    return f"p {ours:.3f} and {theirs:.3f}, {'within' if abs(ours - theirs) <= error else 'OUTSIDE'} ±{error:.3f}"


def carried_and_objective(n: int, signal: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    u, error = np.random.default_rng(0).random((2, n))
    return u, signal * (u - 0.3) ** 2 + noise * error


def permutation(plan: Plan) -> Iterator[Line]:
    """The goal's statistic and p-value from raw arrays, median bandwidth."""
    n, draws = plan.size(2000, 200), 200
    what = f"goal statistic with {draws} permutations, n = {n:,}"
    u, y = carried_and_objective(n, signal=0.1, noise=1.0)  # the signal is so weak that p-values can disagree
    threshold = best_fraction(y, 0.1).threshold
    h = float(np.median(pdist(u[:, None])))
    ours = partial(goal_hsic, u, y, test="permutation", n_permutations=draws)
    peers: dict[str, tuple[str, Callable[..., Any], str]] = {
        "openturns": ("OpenTURNS target HSIC, V-statistic", partial(openturns_goal, h=h), "statistic"),
        "hyppo": ("hyppo Hsic(bias=True).test", hyppo_goal, "r2"),
    }
    for package, (name, peer, same) in peers.items():
        if find_spec(package):
            own, other = measure(plan, ours, partial(peer, u, y, threshold, draws))
            difference = abs(getattr(own.value, same) / other.value[0] - 1)
            agreement = f"{same} {difference:.1e} relative; {chances(own.value.pvalue, other.value[1], draws)}"
            yield compare(what, own, name, other, agreement, least=20_000)


def openturns_goal(u: np.ndarray, y: np.ndarray, threshold: float, draws: int, h: float) -> tuple[float, float]:
    """Statistic on our scale, and p-value: centred, the output kernel l of a 0/1 goal is ``2 (1 - l(0, 1)) w w^T``."""
    import openturns as ot

    covariances = [ot.SquaredExponential([h], [1.0]), ot.SquaredExponential([1.0], [1.0])]
    met, data = ot.IndicatorFunction(ot.Interval(-math.inf, threshold)), (ot.Sample(u[:, None]), ot.Sample(y[:, None]))
    estimator = ot.HSICEstimatorTargetSensitivity(covariances, *data, ot.HSICVStat(), met)
    estimator.setPermutationSize(draws)
    return estimator.getHSICIndices()[0] / (2 * (1 - math.exp(-0.5))), estimator.getPValuesPermutation()[0]


def hyppo_goal(u: np.ndarray, y: np.ndarray, threshold: float, draws: int) -> tuple[float, float]:
    """r2 and p-value; hyppo finds the median distance itself, and its biased statistic is the root of our r2."""
    from hyppo.independence import Hsic

    found = Hsic(bias=True).test(u[:, None], 1.0 * (y <= threshold)[:, None], reps=draws, auto=False)
    return found.stat**2, found.pvalue


def sort(plan: Plan) -> Iterator[Line]:
    """One index from raw arrays, median bandwidth, beside a sort of its input."""
    n = plan.size(1_000_000, 20_000)
    u, y = carried_and_objective(n, signal=1.0, noise=0.1)
    own, other = measure(plan, lambda: goal_hsic(u, y), lambda: np.sort(u))
    yield compare(f"goal_hsic(u, y), n = {n:,}", own, "np.sort(u)", other, most=3)


def maximum(plan: Plan) -> Iterator[Line]:
    """The published "max" bandwidth."""
    n = plan.size(2000, 300)
    u, y = carried_and_objective(n, signal=1.0, noise=0.1)
    z = best_fraction(y, 0.1).met
    # We compute the squares once: new ones for each bandwidth would add to the peer's time.
    w, squares = z - z.mean(), (u[:, None] - u) ** 2

    def dense() -> float:
        find = partial(optimize.minimize_scalar, bounds=(1e-4, 5), method="bounded")
        return -float(find(lambda h: -float(w @ np.exp(squares * (-0.5 / h**2)) @ w)).fun) / n**2

    own, other = measure(plan, lambda: goal_hsic(u, y, bandwidth="max"), dense)
    gain = own.value.statistic / other.value - 1
    name, agreement = f'bandwidth="max", n = {n:,}', f"ours {gain:+.1e} relative"
    line = compare(name, own, "dense NumPy, minimize_scalar", other, agreement, least=500)
    yield line._replace(bar=f"{line.bar}, ours ≥ theirs - 1e-8", met=bool(line.met) and gain >= -1e-8)


def pair(plan: Plan) -> Iterator[Line]:
    """HSIC of two samples of several columns, Gaussian, median bandwidths."""
    n = plan.size(4000, 300)
    what = f"hsic(x, y), x ({n:,}, 10), y ({n:,}, 2)"
    x = np.random.default_rng(0).standard_normal((n, 10))
    y = x[:, :2] + np.random.default_rng(1).standard_normal((n, 2))
    if find_spec("hyppo"):
        from hyppo.independence import Hsic

        own, other = measure(plan, lambda: hsic(x, y), lambda: Hsic().statistic(x, y))
        h = own.value.bandwidth[0]  # hyppo takes the median distance of x for both
        error = abs(hsic(x, y, bandwidth_x=h, bandwidth_y=h).r2 / Hsic(bias=True).statistic(x, y) ** 2 - 1)
        agreement = f"r2 {error:.1e} relative, its bandwidth"
        yield compare(what, own, "hyppo Hsic().statistic", other, agreement, least=60)
    own, other = measure(plan, lambda: hsic(x, y), lambda: dense_hsic(x, y))
    agreement = f"{abs(own.value.statistic / other.value - 1):.1e} relative"
    yield compare(what, own, "dense NumPy, SciPy pdist", other, agreement)


def dense_hsic(x: np.ndarray, y: np.ndarray) -> float:
    # squareform leaves zeros on the diagonal, where a Gram matrix has ones.
    k, other = (squareform(np.exp(d**2 * (-0.5 / np.median(d) ** 2))) + np.eye(len(x)) for d in map(pdist, (x, y)))
    k -= k.mean(axis=0)
    k -= k.mean(axis=1, keepdims=True)
    return float(np.vdot(k, other)) / len(x) ** 2


# A new process starts with its parent's ru_maxrss, so the peak is Linux's VmHWM, set back before the call.
MEMORY = """
import pathlib, re, time, hsicfast, numpy as np
def peak_and_now():
    return [int(kib) for kib in re.findall(r"Vm(?:HWM|RSS):\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())]
x, y = np.random.default_rng(0).standard_normal(({n}, 10)), np.random.default_rng(1).standard_normal(({n}, 2))
hsicfast.hsic(x[:500], y[:500])
pathlib.Path("/proc/self/clear_refs").write_text("5")
before, start = peak_and_now()[1], time.perf_counter()
hsicfast.hsic(x, y)
print(time.perf_counter() - start, peak_and_now()[0] - before)
"""


def memory(plan: Plan) -> Iterator[Line]:
    """The memory of a large hsic beyond its input, in a process of its own; once, as it does not vary."""
    if platform.system() != "Linux":
        return
    n = plan.size(50_000, 2000)
    seconds, kibibytes = map(float, fresh_process(MEMORY.format(n=n)).split())
    ours, matrices = kibibytes / 2**10, 2 * 8 * n**2 / 2**20
    what = f"hsic(x, y), x ({n:,}, 10), y ({n:,}, 2): memory beyond the inputs"
    sizes = f"{ours:.1f} MiB, {duration(seconds)}", "two dense Gram matrices", f"{matrices:,.0f} MiB"
    yield Line(what, *sizes, f"{matrices / max(ours, 1):,.0f}x less", "≤ 64 MiB", ours <= 64)


def spaces(plan: Plan) -> Iterator[tuple[str, TrialTable, optuna.Study]]:
    """The same trials for us and for Optuna; continuous hyperparameters need the most work for pairs."""
    n, q = plan.size(10_000, 300), plan.size(20, 6)
    for what, levels in ((f"{q} Float", 0), (f"{q // 2} Float, {q // 2} Int", 8)):
        space = SearchSpace({f"x{i}": Int(1, levels) if levels and i % 2 else Float(0.0, 1.0) for i in range(q)})
        params = [space.from_unit(point) for point in np.random.default_rng(0).random((n, q))]
        values = {name: [chosen[name] for chosen in params] for name in space}
        first, second, third = (space[name].to_unit(values[name]) for name in ("x0", "x1", "x2"))
        y = (first - 0.3) ** 2 + 0.5 * (second - 0.6) ** 2 + 0.3 * np.abs(third - 0.5)
        y += 0.02 * np.random.default_rng(1).standard_normal(n)
        trial = partial(optuna.trial.create_trial, distributions={name: distribution(space[name]) for name in space})
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
        study.add_trials(trial(params=p, value=value) for p, value in zip(params, y.tolist(), strict=True))
        yield f"{what}, n = {n:,}", TrialTable.from_arrays(space, values, y), study


def analysis(plan: Plan) -> Iterator[Line]:
    """Main indices, then also pairs, all with p-values, beside PED-ANOVA (without p-values) and SALib."""
    for what, table, study in spaces(plan):
        ours = partial(analyse, table.space, table, n_permutations=1000)
        optunas = partial(optuna.importance.PedAnovaImportanceEvaluator().evaluate, study)
        own, other = measure(plan, partial(ours, pairs=False), optunas)
        same = {index.name for index in own.value.indices[:3]} == set(list(other.value)[:3])
        agreement, name = f"first three {'the same' if same else 'DIFFER'}", f"main indices, 1,000 permutations: {what}"
        yield compare(name, own, "Optuna PED-ANOVA", other, agreement, least=3)
        if find_spec("SALib") and not any(isinstance(kind, Int) for kind in table.space.values()):
            yield compare(name, own, "SALib rbd_fast", salib_indices(plan, table), "different index")
        own, other = measure(plan, partial(ours, pairs=True), optunas)
        name = f"main indices and all {len(own.value.pair_indices)} pairs, 1,000 permutations: {what}"
        yield compare(name, own, f"Optuna PED-ANOVA, {len(table.space)} main effects", other, most=10)


def salib_indices(plan: Plan, table: TrialTable) -> Measured:
    """The indices of SALib from given samples, for scale, because it has no HSIC."""
    from SALib.analyze import rbd_fast

    x = np.column_stack([table.values[name].astype(float) for name in table.space])
    problem = {"num_vars": x.shape[1], "names": list(table.space), "bounds": [[0.0, 1.0]] * x.shape[1]}
    with warnings.catch_warnings(record=True):  # SALib changes the filters
        return measure(plan, partial(rbd_fast.analyze, problem, x, table.objective))[0]


def reference(plan: Plan) -> Iterator[Line]:
    """The worst relative error of all engines and kernels at fixed bandwidths."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import naive

    errors: list[tuple[float, str]] = []
    rng = np.random.default_rng(0)
    for n, h in ((n, h) for n in (50, plan.size(1000, 200)) for h in (2.0, 0.3, 0.05, 0.02)):
        u, y = rng.random((n, 2)), rng.random(n)
        for goal, d, engine in ((g, d, e) for g in (0.1, 0.5) for d in (1, 2) for e in ("auto", "spectral", "tile")):
            if engine == "spectral" and d == 2 and h < 0.05:
                continue  # tens of thousands of features: "auto" takes the tiles
            want = naive.goal_hsic(u[:, :d], naive.goal(y, goal), h=h)
            got = goal_hsic(u[:, :d], y, goal=goal, bandwidth=h, engine=engine).statistic
            errors.append((abs(got / want - 1), f"goal {engine}, h = {h}, d = {d}, n = {n}"))
        x = (u[:, :1] + 0.5 * rng.random((n, 3))) / 1.5
        for kernel in KERNELS:
            got = goal_hsic(u[:, :1], y, kernel=kernel, bandwidth=h)
            want = naive.goal_hsic(u[:, :1], naive.goal(y, 0.1), kernel, h)
            errors.append((abs(got.statistic / want - 1), f"goal {kernel} ({got.engine}), h = {h}, n = {n}"))
            got = hsic(x, u, kernel_x=kernel, kernel_y=kernel, bandwidth_x=h, bandwidth_y=h).statistic
            want = naive.hsic(x, u, kernel, kernel, h, h)
            errors.append((abs(got / want - 1), f"hsic {kernel}, h = {h}, n = {n}"))
    what, (worst, case) = f"{len(KERNELS)} kernels, every engine", max(errors)
    agreement = f"worst of {len(errors)}: {worst:.1e}, {case}"
    yield Line(what, peer="tests/naive.py", bar="≤ 1e-12 relative", met=worst <= 1e-12, agreement=agreement)


DATA = """
import hashlib, time, numpy as np
from benches.results import add_json, machine, versions, write_results
from hsicfast import Float, Int, SearchSpace, TrialTable, analyse, goal_hsic, hsic
u, y = np.random.default_rng(0).random((2, 1001))
space = SearchSpace({"a": Float(0, 1), "b": Int(1, 8), "c": Float(0, 1)})
table = TrialTable.from_arrays(space, {"a": u, "b": [1 + i % 8 for i in range(1001)], "c": y}, u)
"""
ANSWERS = """
for answer in (
    goal_hsic(*np.random.default_rng(1).random((2, 20_001)), test="permutation"),
    goal_hsic(u, y, kernel="laplace", test="permutation", n_permutations=100),
    goal_hsic(u, y, bandwidth="max", test="permutation", n_permutations=100),
    hsic(np.column_stack((u, y)), u, test="permutation", n_permutations=20, confidence=0.9),
    analyse(space, table).indices + analyse(space, table).pair_indices,
):
    print(hashlib.sha256(repr(answer).encode()).hexdigest())
"""


def threads(plan: Plan) -> Iterator[Line]:
    """Statistics, tests and an analysis in a process with one thread and in one with two."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    one, two = (fresh_process(DATA + ANSWERS, **dict.fromkeys(names, count)).split() for count in ("1", "2"))
    same = sum(a == b for a, b in zip(one, two, strict=True))
    met, agreement = same == len(one), f"{same} of {len(one)} answers"
    yield Line("one thread", peer="two threads", bar="the same bits", met=met, agreement=agreement)


def starting(plan: Plan) -> Iterator[Line]:
    """The import without the start of Python; and the first call in a process, with compiled code in the cache."""
    clocked = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
    own, other = measure_fresh(plan, clocked.format("import hsicfast"), clocked.format("import numba, scipy"))
    yield compare("import hsicfast", own, "import numba, scipy", other, most=1.5)
    calls = ('goal_hsic(u, y, test="permutation")', "hsic(u, y)", "analyse(space, table)")
    for call, own in zip(calls, measure_fresh(plan, *(DATA + clocked.format(call) for call in calls)), strict=True):
        what, met = f"first {call} of a process, n = 1,001", own.seconds < 0.5
        yield Line(what, duration(own.seconds), bar="< 0.5 s beyond import", met=met, repeats=str(own.repeats))


ROWS = {f.__name__: f for f in (permutation, sort, maximum, pair, memory, analysis, reference, threads, starting)}


def place() -> str:
    absent = ", ".join(name for name in PEERS if not find_spec(name))
    advice = f" Not installed: {absent}; pip install -c constraints.txt -e '.[peers]' does it." if absent else ""
    named = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"{machine()}; {named}. {DEFAULTS}{advice}"


def show(lines: list[Line], quick: bool, markdown: bool) -> Table:
    """Print the lines, and return their table."""
    head = ("what", "ours", "peer", "theirs", "ratio", "bar", "met", "repeats, ours / theirs", "agreement")
    table = Table(*head, box=box.MARKDOWN if markdown else box.ROUNDED, show_lines=not markdown)
    for line in lines:
        table.add_row(*line[:6], "" if quick or line.met is None else "yes" if line.met else "NO", *line[7:])
    console = Console(width=10_000 if markdown else None if sys.stdout.isatty() else 200, highlight=False)
    console.print(place(), "Quick sizes: no bar is held.\n" if quick else "\n", markup=False)
    console.print(table)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure hsicfast and its peers in one run.")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it run?")
    parser.add_argument("--rows", default=",".join(ROWS), help="names, by comma: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each measurement (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print GitHub Markdown")
    add_json(parser)
    options = parser.parse_args()
    names = options.rows.split(",")
    if not set(names) <= set(ROWS) or options.repeats < 1:
        parser.error(f"rows must be among {','.join(ROWS)} and repeats >= 1, but got {options.rows}, {options.repeats}")
    warnings.simplefilter("ignore")  # peers warn about few permutations, which we ask for
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan = Plan(options.quick, 1 if options.quick else options.repeats)
    lines = [line for name in track(names, console=Console(stderr=True), transient=True) for line in ROWS[name](plan)]
    table = show(lines, options.quick, options.markdown)
    write_results(options.json, [table], f"Medians of at least {plan.repeats}, both sides in turn. {DEFAULTS}")


if __name__ == "__main__":
    main()
