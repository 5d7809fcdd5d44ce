"""The method: which hyperparameters decide who ends among the best, and how sure that is.

Read :func:`analyse` from top to bottom; it is the method of Novello et al. (2023, sections 3 to 5).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from hsicfast.arrays import Bools
from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.conclusions.totals import Total
from hsicfast.dependence.features import UNIFORM_MEDIAN
from hsicfast.engines.layer import safely
from hsicfast.errors import InputError, check_one_of, keyword_only_after
from hsicfast.evidence.redraws import Redraws
from hsicfast.indices import judging
from hsicfast.indices.batches import Rules
from hsicfast.indices.carried import Law
from hsicfast.indices.findings import JOINT, About, Question, Streamed
from hsicfast.indices.laws import law_that_holds
from hsicfast.indices.pairs import judged_pairs
from hsicfast.indices.stability import RankInterval
from hsicfast.indices.streaming import MIN_TRIALS, ProgressCallback, Stream
from hsicfast.reading.sources import LargeReading, Reading, parts_of
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.goal import AUTO, Auto, Threshold, losses_of, stated
from hsicfast.trials.parquet import ParquetTrials
from hsicfast.trials.repeats import merged
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DESIGN, INFEASIBLE, STATUSES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# From a warning to whoever called analyse: two functions in this module, and the two that keyword_only_after adds.
CALLER = 6
FAILED_OPTIONS = ("miss", "drop")
PRUNED_OPTIONS = ("miss", "last", "drop")
LAWS: tuple[Law, ...] = get_args(Law)


def silent(step: str, share: float) -> None:
    """Show no progress: the default of :func:`analyse`."""


class Sensitivity(Conclusions):
    """What :func:`analyse` found, as tables, as pictures and as a page."""

    def verdicts(self) -> pd.DataFrame:
        """What to do with each hyperparameter: indexed by ``name``, with kind, text and evidence."""
        import pandas as pd

        rows = [(verdict.name, verdict.kind, verdict.text, verdict.evidence) for verdict in self.verdict_list]
        return pd.DataFrame(rows, columns=["name", "kind", "text", "evidence"]).set_index("name")

    def ranks(self) -> pd.DataFrame:
        """Indexed by ``name``: rank in the group, its low and high in 90% of resamples, and the size of the group."""
        import pandas as pd

        return pd.DataFrame.from_dict(
            {name: astuple(interval) for name, interval in self.rank_intervals.items()},
            orient="index",
            columns=[field.name for field in fields(RankInterval)],
        ).rename_axis("name")

    def totals(self) -> pd.DataFrame:
        """What each hyperparameter does alone or together with any others, ranked by all that is known.

        Returns
        -------
        DataFrame
            Indexed by ``name``, the first in the ranking first: ``total``, the total-order index; ``pvalue`` and
            ``pvalue_holm``, for doing nothing alone or with others; ``either``, the harmonic mean of this p-value and
            that of the hyperparameter alone, which ranks; ``rank``. It takes a second for 20 hyperparameters and 1,000
            trials, of which more are left out at random.
        """
        import pandas as pd

        return pd.DataFrame(self.total_list, columns=[field.name for field in fields(Total)]).set_index("name")

    def plot(self, name: str = "indices") -> Figure:
        """One picture of the analysis, for print.

        Parameters
        ----------
        name : str
            ``indices`` with intervals and noise floor; ``pairs``, their matrix; ``goal_set``, the trials in the plane
            of the clearest pair; ``marginals`` of all trials and of the good ones; ``relevance`` for the objective
            against relevance for the cost; ``ranking`` as the goal widens; ``error_against_cost`` of each trial.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; ``.savefig("indices.pdf")`` keeps it.

        Raises
        ------
        InputError
            If the name is none of these or has nothing to show, or if a tool is missing.
        """
        from hsicfast.report.figures import picture
        from hsicfast.report.page import check_report_tools

        check_report_tools()
        return picture(name, self, self.trials, self.trials.best())

    def report(
        self,
        path: str | Path = "report.html",
        *,
        title: str = "Which hyperparameters decide",
        metric: str = "objective",
        cost: str = "cost",
    ) -> Path:
        """Write the analysis as one HTML page that needs no network.

        Parameters
        ----------
        path : str or Path
        title : str
            Heading of the page.
        metric, cost : str
            Names of the objective and the cost.

        Returns
        -------
        Path
            Path of the page.

        Raises
        ------
        InputError
            If a tool is missing or the page cannot be written.
        """
        from hsicfast.report.page import write_page

        return write_page(path, self, title=title, metric=metric, cost=cost)


@keyword_only_after(2, last="goal")
def analyse(
    space: SearchSpace | Reading | LargeReading,
    trials: TrialTable | pd.DataFrame | str | Path | ParquetTrials | None = None,
    *,
    goal: float | int | Threshold | Auto = AUTO,
    question: About = "goal",
    minimize: bool | None = None,
    bandwidth: float = UNIFORM_MEDIAN,
    test: str | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
    confidence: float = 0.9,
    pairs: bool = True,
    law: Law | None = None,
    failed: str = "miss",
    pruned: str = "miss",
    redraws: Sequence[Redraws] = (),
    progress: ProgressCallback = silent,
) -> Sensitivity:
    """Goal-oriented sensitivity analysis of finished trials.

    Parameters
    ----------
    space : SearchSpace or Reading
        Its distributions drew the trials, if `law` is "space". What :func:`hsicfast.read_trials` returned stands for
        space, trials, direction and law, each of which may be given instead.
    trials : TrialTable, DataFrame, path or ParquetTrials
        Finished trials, by default those of the Reading; lost ones are left out. Rows that repeat a configuration, with
        other seeds or copied, count as one trial with the mean of their objectives. Trials that an optimiser proposed
        are left out, with a warning: their values do not follow the distributions of the space. A Parquet file or a
        folder of such files is read in bounded memory, and the indices use all its trials; pairs, pictures and verdicts
        use 16,384 of them, drawn at random by `seed`. Of files each row counts as a trial, though rows repeat a
        configuration; nobody checks that values follow the space; and the index orders the hyperparameters, whose
        `importance` is not known.
    goal : float in (0, 1), int >= 1, Threshold or "auto"
        The best fraction, the number of best trials, or the value that the objective must reach: the goal of the
        indices, of pairs and pictures. In a conditional group the fraction counts its own trials; a number of trials
        becomes the fraction that it is of all trials. "auto" is the best tenth, but at least 15 trials and at most a
        third of them.
    question : {"goal", "objective"}
        What the joint test asks: whether a hyperparameter decides who ends among the good trials, be these 5, 10, 20,
        30 or 50% of all, or the `goal`; or whether it has any influence on the objective, at either end.
    minimize : bool, optional
        Whether a small objective is good; by default the direction of a TrialTable or a Reading, and True for anything
        else.
    bandwidth : float > 0
        Bandwidth of the Gaussian kernel on values mapped to [0, 1]. The default is the median distance of two uniform
        values, so that the indices of all hyperparameters compare.
    test : {"joint", "permutation", "asymptotic", "gamma"}, optional
        The default is "joint": one test at several goals and bandwidths, which sees several times as much as one goal
        alone, and p-values that are adjusted by its own permutations (:mod:`hsicfast.evidence.joint`). The others test
        the index at the `goal` alone, and are adjusted after Holm. For files, whose trials are not kept and cannot be
        permuted, the default is "asymptotic".
    n_permutations : int >= 1
    seed : int >= 0
        Seed of the permutations, and of the sample of a file.
    confidence : float in (0, 1)
        Confidence of the intervals.
    pairs : bool
        Whether to judge pairs, too; d hyperparameters have d (d - 1) / 2 pairs.
    law : {"space", "ranks"}, optional
        What maps values to [0, 1]: the distributions of the space (default), or, if nobody knows these, the ranks among
        the trials (default for a Reading whose space was guessed or is a study's); equal values share an interval. With
        ranks an optimiser's trials are judged, too, with a warning. If trials in memory do not follow the distributions
        of the space, ranks are used, with a warning.
    failed : {"miss", "drop"}
        A diverged trial misses the goal, which is evidence against its hyperparameters. Choose "drop" to leave it out
        if it failed for reasons of its own; an infeasible one has not failed, and misses the goal.
    pruned : {"miss", "last", "drop"}
        A trial that was stopped early misses the goal, is judged by its last objective, or is left out.
    redraws : sequence of Redraws
        Trials of a search in some of which a hyperparameter was drawn anew
        (:class:`~hsicfast.evidence.redraws.Redraws`), one for each such hyperparameter. The joint test sees them beside
        `trials`; indices, intervals and pairs are those of `trials` alone.
    progress : callable
        It is called now and then with the name of a step and the share of it that is done.

    Returns
    -------
    Sensitivity

    Raises
    ------
    InputError
        If there are fewer than 4 trials, all of them diverged, all or none reach the threshold, an option is wrong, or
        a value is outside its range.

    Examples
    --------
    >>> from hsicfast import Float
    >>> space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.random((2, 200))
    >>> found = analyse(space, TrialTable.from_arrays(space, {"a": a, "b": b}, (a - 0.3) ** 2))
    >>> found.significant()
    ['a']
    """
    if isinstance(space, Reading | LargeReading):
        space, trials, minimize, law = parts_of(space, trials, minimize, law)
    if trials is None:
        raise InputError("an analysis needs a space and trials, but got one of them; pass both, or read_trials(file)")
    law = "space" if law is None else law
    rules = Rules(law, failed, pruned)
    _check_rules(rules)
    if isinstance(trials, str | Path | ParquetTrials):
        _check_streamed(test, redraws)
        asked = Question(
            goal,
            minimize is not False,
            bandwidth,
            test or "asymptotic",
            n_permutations,
            seed,
            confidence,
            law,
            question,
        )
        source = trials if isinstance(trials, ParquetTrials) else ParquetTrials(trials)
        rules = rules._replace(unknown_is_lost=source.unknown_is_lost)
        with safely():
            return _analyse_stream(Stream(space, source, rules, progress), asked, rules, pairs, progress)
    with safely():
        # 1. Which trials count.
        table = trials if isinstance(trials, TrialTable) else TrialTable.from_frame(space, trials)
        table = table.toward(minimize)
        judged, rows = merged(_judged(table, rules))
        _check_enough(len(judged))
        law = law_that_holds(judged, law, CALLER - 1)
        asked = Question(
            goal, table.minimize, bandwidth, test or JOINT, n_permutations, seed, confidence, law, question
        ).checked(len(judged))
        # 2. Which trials met the goal: a diverged trial that counts did not.
        met, threshold = asked.met(judged.objective)
        if isinstance(asked.goal, Threshold):
            _check_parts(asked.goal, judged.best().objective, met)
        progress("hyperparameters", 0.0)
        # 3. One index for each hyperparameter in its conditional group, and one test of all of them.
        found, critical = judging.judged(judged, asked, redraws)
        # 4. Pairs: the index of the couple, and what remains of it without the main effects.
        pair_indices = judged_pairs(judged, asked, progress) if pairs else ()
        progress("costs", 0.0)
        # 5. The same question about cost: what makes a network cheap?
        about_costs = judging.cost_indices(judged, asked, float(met.mean()))
        counts: dict[str, int] = {status: int(np.count_nonzero(table.status == status)) for status in STATUSES}
        return Sensitivity(
            judged,
            stated(goal, len(judged)),
            asked,
            met,
            threshold,
            counts,
            failed,
            pruned,
            found,
            about_costs,
            pair_indices,
            critical=critical,
            repeats=rows - len(judged),
            infeasible=int(np.count_nonzero(table.failure == INFEASIBLE)),
            redraws=tuple(own for own in redraws if own.says),
        )


def _analyse_stream(
    stream: Stream, question: Question, rules: Rules, pairs: bool, progress: ProgressCallback
) -> Sensitivity:
    """The steps of :func:`analyse` for trials in files: sums over all trials, and a sample for what needs trials."""
    # 1. Which trials count, and 2. which met the goal: a pass over the objectives.
    scan, goal = stream.scan(), question.goal
    _warn_searched(scan.searched, len(scan.kept), rules.law)
    n = int(np.count_nonzero(scan.kept))
    _check_enough(n)
    judged = scan.objective if n == len(scan.kept) else scan.objective[scan.kept]
    question = question.checked(n)
    met, threshold = question.met(judged)
    if not np.isfinite(judged).any():
        raise InputError(
            f"at least one trial must end with a finite objective, but got none among {n}; correct the objective"
        )
    if isinstance(question.goal, Threshold):
        best = losses_of(float(np.nanmin(question.losses(judged))), question.minimize)
        _check_parts(question.goal, best, met)
    aims = [stream.aim(scan, question)]
    cost = scan.cost[scan.kept & np.isfinite(scan.cost)] if len(scan.cost) else scan.cost
    if len(cost) >= MIN_TRIALS and np.ptp(cost) > 0:
        aims.append(stream.aim(scan, judging.about_cost(question, float(met.mean())), of_cost=True))
    # 3. One index for each hyperparameter, and 5. the same about cost: a pass over all columns.
    groups, sample, rank_error = stream.collect(scan, aims, question)
    found, *about_costs = (judging.indices_of_stream(own, question) for own in groups)
    # 4. Pairs, from the sample.
    return Sensitivity(
        sample,
        stated(goal, n),
        question,
        question.met(sample.objective).met,
        threshold,
        scan.counts,
        rules.failed,
        rules.pruned,
        found,
        about_costs[0] if about_costs else (),
        judged_pairs(sample, question, progress) if pairs else (),
        Streamed(n, int(np.count_nonzero(met)), rank_error),
    )


def _check_rules(rules: Rules) -> None:
    check_one_of("law", rules.law, LAWS, "'ranks' needs to know nothing")
    check_one_of("failed", rules.failed, FAILED_OPTIONS, "'miss' counts them as not good")
    check_one_of("pruned", rules.pruned, PRUNED_OPTIONS, "'miss' counts them as not good")


def _check_streamed(test: str | None, redraws: Sequence[Redraws]) -> None:
    judging.check_redraws(redraws, test or "asymptotic")
    if test in (JOINT, "permutation"):
        raise InputError(
            f"trials in files are tested by 'asymptotic' or 'gamma', but got {test!r}: nothing is kept to permute; "
            "leave `test` out, or read them into a frame"
        )


def _check_enough(n: int) -> None:
    if n < MIN_TRIALS:
        raise InputError(f"an analysis needs at least {MIN_TRIALS} trials drawn from the space, but got {n}; run more")


def _warn_searched(searched: int, n: int, law: str) -> None:
    """Warn of trials that an optimiser proposed, if there are any."""
    if searched:
        fate = (
            "do not follow the distributions of the space; they are left out of the analysis"
            if law == "space"
            else "crowd where it expected good ones; what it chose and what came of it go together for that reason, too"
        )
        warnings.warn(f"{searched} of {n} trials were proposed by an optimiser and {fate}", stacklevel=CALLER)


def _judged(table: TrialTable, rules: Rules) -> TrialTable:
    """The trials that count; warns of those that an optimiser proposed."""
    _warn_searched(int(np.count_nonzero(table.origin != DESIGN)), len(table), rules.law)
    judged = table.design.evidence if rules.law == "space" else table.evidence
    judged.best()  # raises if every trial diverged
    judged = judging.counted(judged, rules)
    _check_enough(len(judged))
    return judged


def _check_parts(goal: Threshold, best: float, met: Bools) -> None:
    if met.all() or not met.any():
        raise InputError(
            f"a threshold must part the trials, but {'all' if met.all() else 'none'} of {len(met)} reach {goal.value} "
            f"(the best has {best:.6g}); choose another, or a fraction such as 0.1"
        )
