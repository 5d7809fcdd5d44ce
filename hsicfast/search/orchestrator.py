"""The function :func:`minimize`, which conducts a run from the first check to the result.

The steps of the method are in the strategies (:meth:`hsicfast.search.strategies.Hsic.conduct`), and the parts of a
round are in :mod:`hsicfast.search.rounds`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsicfast.engines.layer import check_fork
from hsicfast.errors import InputError, keyword_only_after
from hsicfast.guard import neutral
from hsicfast.reading.known import known_trials
from hsicfast.runs.log import Log
from hsicfast.runs.progress import ProgressBar, usual_progress
from hsicfast.runs.store import Store
from hsicfast.runs.watcher import Watcher, Watchers
from hsicfast.search.finals import best_and_economical, finals_of
from hsicfast.search.ledger import Interrupted, stop_on_signals
from hsicfast.search.plan import RunPlan
from hsicfast.search.result import Result
from hsicfast.search.rounds import Run
from hsicfast.search.run_report import leave_report
from hsicfast.search.strategies import Strategy, strategy_of
from hsicfast.space.search_space import Hyperparameter, SearchSpace
from hsicfast.training.executors import Executor, Local, Processes, executor_of
from hsicfast.training.processes import leave_a_start
from hsicfast.trials.costs import Price
from hsicfast.trials.goal import AUTO, Auto
from hsicfast.trials.objectives import Objectives

if TYPE_CHECKING:
    import optuna

__all__ = ["Result", "execute", "minimize"]


@keyword_only_after(2, last="goal")
def minimize(
    evaluate: Callable[..., Any],
    space: SearchSpace | Mapping[str, Hyperparameter],
    *,
    n_trials: int,
    strategy: str | Strategy = "hsic",
    seed: int = 0,
    store: str | None = None,
    executor: Executor | str | None = None,
    goal: float | Auto = AUTO,
    direction: str = "minimize",
    folder: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    tolerance: float | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    repeats: int = 1,
    max_cost: float | None = None,
    price: Price | None = None,
    resume: str | None = None,
    timeout: float | None = None,
    stop: str | None = None,
    known: Any = None,
    had: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    objectives: Mapping[str, str] | Sequence[str] | None = None,
) -> Result:
    """Find good, cheap hyperparameters, and which of them decide.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(params)`` or ``evaluate(params, seed=...)`` returns the objective, or a dict with ``objective`` (or
        ``objectives``, see there) and, if you like, ``cost``, ``constraints``, ``status`` ("done", "diverged" or
        "pruned"), ``message`` and further numbers or texts. If it raises, or if the objective is NaN or infinite, the
        trial diverged. The constraints are a number or a list of them, such as the memory in use less the limit: if one
        is above 0 or NaN, the trial is infeasible, which is never the best, and counts as diverged with the failure
        "infeasible".
    space : SearchSpace or dict
        The hyperparameters and their ranges.
    n_trials : int
        Budget of trials; at least 8, or 4 for "random". Those of earlier calls in `folder` that are points of the space
        count.
    strategy : {"hsic", "two_step", "random"} or Strategy
        How the budget is spent, e.g. ``TwoStep(optimizer="tpe")``.
    seed : int
        The same seed gives the same trials and the same indices, whatever the executor.
    store : str, optional
        Optuna storage URL of the study; ``study.db`` in `folder` by default.
    executor : {"local", "processes", "ray"} or Executor, optional
        :class:`~hsicfast.Local` by default. An object such as ``Processes(workers=4)`` has settings of its own. A
        script that trains in processes calls this function under ``if __name__ == "__main__":``.
    goal : float in (0, 1) or "auto"
        The fraction of the trials, the best ones, that counts as good in the analysis. "auto" is the best tenth of the
        analysed trials, but at least 15 of them and at most a third.
    direction : {"minimize", "maximize"}
        Whether small or large objectives are good.
    folder : path, optional
        Run folder; without one, results stay in memory. It ends with the report of the run: a page, tables, pictures
        and the chosen values as YAML; without the extra ``report`` tables and values alone. The same call again goes on
        where it was interrupted, and ends as an uninterrupted one. A call with another `n_trials`, `space` or
        `strategy`, with `stop`, `known` or `had` opens a new chapter: every stored trial that is a point of the space
        is used and none is trained again, and the round "earlier" says how many are not, and why. A trial of the design
        stays one if its distribution, cut to the space, is that of the space; otherwise the search alone learns from
        it. A dropped hyperparameter counts as chance, unless `had` says which of its values trials must have.
    settings : mapping, optional
        Everything else that the results depend on; a folder refuses to go on with other settings. If `evaluate` has an
        attribute ``alike``, such as ``{"training": ("stacked", "solo")}``, a setting of this name may be any of these.
    watcher : Watcher, optional
        Is notified of every trial when it ends.
    tolerance : float, optional
        How far from the best objective a cheaper trial may be to be the economical one, in the unit of the objective;
        by default a tenth of the way from the best to the median of the better third of the trials drawn from the
        space, or the scatter of the finalists between seeds if that is more.
    pruner : optuna.pruners.BasePruner, optional
        Stops hopeless trials early, by the learning curves of the trials that had ended when the trial was planned.
        Trials of the design always go on to their end. A pruner needs ``evaluate(params, report=...)``, which calls
        ``report(step, value)`` as it trains, and returns its last value as soon as a call returns False.
    repeats : int
        Number of seeds with which each trial trains its configuration, at least 1. The objective, the cost and other
        numbers of the trial are means over these seeds, and the metric ``objective_sd`` is the standard deviation of
        the objective. With more than one seed, `evaluate` must take a seed.
    max_cost : float, optional
        The most that the best trial may cost, in the unit of the cost, finite and above 0. A configuration whose price
        is above it is never trained, and another one takes its place. A trial that turns out more expensive, or has no
        known cost, counts in the analysis, but is neither `best` nor `economical`.
    price : callable, optional
        ``price(params)`` returns what a configuration costs, before it is trained, or NaN if that is unknown; by
        default the method ``price`` of `evaluate`, if it has one. It is called in this process, and only with
        `max_cost`. A trial for which `evaluate` returns no cost costs its price.
    resume : {None, "force"}
        "force" plans a `folder` anew from its first trial, whatever settings it has: for a training that has changed.
        It replaces the settings, and every stored trial that is not the one now planned at its place, and keeps what it
        replaces in ``replaced/`` of the folder.
    timeout : float > 0, optional
        Seconds of this call after which no new trial starts; those in flight end. The same call again goes on.
    stop : {None, "enough"}
        "enough" ends the search once the trials that are left can be expected to gain less than the tolerance. The
        round says both numbers. Trials that economise and finals still take place.
    known : optional
        Trials that somebody has already: a TrialTable, a Result, a Reading, a run folder, whatever
        :func:`hsicfast.read_trials` reads, a :class:`~hsicfast.Known` (for the name of the objective, or
        ``prior=True`` for trials of another task), or a list of these. They take the place of design trials and teach
        the optimiser; those that a table or run folder says were drawn from the distributions of the space count in the
        analysis as well. The run trains the best of them again first, so that `best` is always a trial of the run;
        `trials` holds those of the run alone.
    had : mapping of str to value, optional
        For a hyperparameter that is new in the space, the value that earlier and known trials had, e.g.
        ``had={"dropout": 0.0}``; without it they cannot be used. For one that has been dropped, the only value with
        which they are used.
    progress : bool, optional
        Whether to show how far the run is, on the standard error. By default a terminal has a live bar, a notebook a
        line without a widget, and anything else nothing; with True it has a line for every tenth of the trials.
    objectives : dict of str to {"minimize", "maximize"}, or list of str, optional
        The names of several objectives, and which end of each is good; of names alone small is good. `evaluate` returns
        a dict such as ``{"objectives": {"error": 0.1, "latency": 3.0}}``, all finite in a trial that is done. The
        search looks for the whole front: the trials that no other dominates, which is nowhere worse and somewhere
        better (:attr:`Result.front`); what a trial costs counts there only if it is named. The analysis then says what
        decides whether a trial ends near the front, and :attr:`Result.sensitivities` what decides each objective.
        `direction`, `tolerance`, `pruner` and ``stop="enough"`` need a single objective, and the strategy "hsic" has no
        rounds that economise or choose a winner.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If a rule above is broken, if no trial ends with a finite objective, if no trial that does is known to cost at
        most `max_cost`, or if 1,000 configurations drawn in a row are too expensive. Trained trials stay in `folder`.
    RunError
        If a disk, a database, a lock, a cluster or the start of the workers fails: the same call goes on from `folder`.
    Interrupted
        If SIGINT (Ctrl-C, or a notebook's stop button) or SIGTERM arrives in the main thread. The trials in flight end,
        everything is on disk, and ``result`` of the exception is the result so far, or None if fewer than 4 trials have
        ended. It is a KeyboardInterrupt, so that a loop around this call ends as well. SIGTERM first goes on to
        whatever handled it before, which by default ends the process. A second signal stops the run at once. In other
        threads no signal is handled.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace
    >>> space = SearchSpace({"x": Float(-1, 1), "unused": Float(0, 1)})
    >>> result = minimize(lambda params: params["x"] ** 2, space, n_trials=100, strategy="random")
    >>> result.best.objective < 0.01, result.sensitivity.significant()
    (True, ['x'])
    """
    executor, space = executor_of(executor), _space(space)
    if isinstance(executor, Processes):
        leave_a_start()
    evidence = known_trials(known, space, direction == "minimize", had)
    several = Objectives.of(objectives, space)
    plan = RunPlan(
        space=space,
        n_trials=n_trials,
        strategy=strategy_of(strategy),
        seed=seed,
        goal=goal,
        direction=direction,
        tolerance=tolerance,
        max_cost=max_cost,
        price=price,
        pruner=pruner,
        repeats=repeats,
        resume=resume,
        timeout=timeout,
        stop=stop,
        known=evidence,
        had=had or {},
        objectives=several,
    )
    bar = None if isinstance(watcher, ProgressBar) else usual_progress(progress, plan.minimize, max_cost, several)
    seen = [one for one in (bar, watcher) if one is not None]
    try:
        with bar or nullcontext():
            result = execute(
                plan, evaluate, executor, folder=folder, store=store, settings=settings, watcher=Watchers(*seen)
            )
        if folder is not None:
            with neutral():
                leave_report(Path(folder), result)
        return result
    except Interrupted as interruption:
        if folder is not None and interruption.result is not None:
            leave_report(Path(folder), interruption.result)
        if interruption.number == signal.SIGTERM:  # it goes on to whoever had it before
            signal.raise_signal(interruption.number)
        raise


def execute(
    plan: RunPlan,
    evaluate: Callable[..., Any],
    executor: Executor | None = None,
    *,
    folder: str | Path | None = None,
    store: str | None = None,
    settings: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
) -> Result:
    """Carry out a plan that has been checked already.

    Parameters
    ----------
    plan : RunPlan
        The settings of the run.
    evaluate, executor, folder, store, settings, watcher
        As in :func:`minimize`.

    Returns
    -------
    Result

    Raises
    ------
    InputError, RunError
        As in :func:`minimize`.
    Interrupted
        As in :func:`minimize`, but SIGTERM goes on to nobody: ``number`` of the exception says which signal it was.
    """
    executor, watcher = executor or Local(), watcher or Watcher()
    # A training may change the folder of the process, and the lock is held by a thread.
    where = None if folder is None else Path(folder).absolute()
    if where is not None:
        watcher = Watchers(Log(where), watcher)
    check_fork()
    plan.trained(evaluate)  # refuses an evaluate that the plan cannot train before a folder is made
    if "objectives" in (settings or {}):
        raise InputError("settings= may not say 'objectives', as objectives= does, but it does; call it something else")
    described = dict(settings or {}) | plan.description
    alike = getattr(evaluate, "alike", None)
    if alike is not None and not isinstance(alike, Mapping):
        raise InputError(
            "the attribute `alike` of evaluate must be a dict of settings to values that give the same trials, but got "
            f"{alike!r}; rename it"
        )
    kept = Store(plan.space, described, plan.minimize, where, store, plan.resume, plan.extent, alike)
    run: Run | None = None
    try:
        watcher.on_start(plan.n_trials)
        for change in kept.changed:
            watcher.on_learnt(f"{change}, which trains the same trials")
        run = Run(plan, evaluate, executor, kept, watcher)
        with stop_on_signals(run, watcher), neutral():
            result = _result(run, kept)
        if result.interrupted:
            raise Interrupted(f"stopped after {len(result.trials)} trials; {run.ledger.go_on}", result, run.signals[0])
        watcher.on_end("")
        return result
    except (InputError, Interrupted) as error:
        with suppress(InputError):  # the log itself fails if the disk is full
            watcher.on_end(str(error))
        if run is not None and run.interrupted and isinstance(error, InputError):
            raise Interrupted(str(error), number=run.signals[0]) from error
        raise
    finally:
        executor.close()
        kept.close()


def _result(run: Run, store: Store) -> Result:
    """Conduct a run, and end its chapter in the store unless it was stopped; returns its result."""
    plan = run.plan
    sensitivity, reduction = plan.strategy.conduct(run)
    if run.timed_out:
        run.learn(run.ended)
    if not run.stopped():
        store.end_chapter()
    affordable = run.affordable()
    # If the run was stopped, some finalists have had more seeds than others, so that their means do not compare.
    finals = () if run.stopped() else finals_of(run.ledger.judged)
    if plan.objectives is None:
        best, economical = best_and_economical(affordable, finals, plan.tolerance)
    else:
        best = economical = plan.objectives.compromise(affordable)
    return Result(
        best=best,
        trials=run.ledger.table,
        sensitivity=sensitivity,
        reduction=reduction,
        rounds=tuple(run.rounds),
        goal=plan.goal,
        interrupted=run.interrupted,
        economical=economical,
        finals=finals,
        max_cost=plan.max_cost,
        tolerance=plan.tolerance,
        ended=run.ended,
        planned=plan.n_trials,
        objectives=plan.objectives,
    )


def _space(space: SearchSpace | Mapping[str, Hyperparameter]) -> SearchSpace:
    """The space that a person gave, as a space or as a dict."""
    if isinstance(space, SearchSpace):
        return space
    if not isinstance(space, Mapping):
        raise InputError(
            f"a space must be a SearchSpace or a dict of names to Float, Int, Choice or Bool, but got {space!r}; "
            "write one"
        )
    return SearchSpace(space)
