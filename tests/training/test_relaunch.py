"""A trial that starts this program again for a second device is refused with one sentence; other processes are not."""

import os
import subprocess
import sys

import pytest

from hsicfast.training.relaunch import VARIABLES, Relaunched, no_relaunch
from hsicfast.training.worker import Job, run_trial
from hsicfast.trials.trial import SEARCH

SECOND = {**os.environ, "LOCAL_RANK": "1", "WORLD_SIZE": "2"}


def relaunch(params):
    os.environ.update(LOCAL_RANK="0", MASTER_PORT="1")  # as Lightning does first
    subprocess.Popen([sys.executable, *sys.argv], env=SECOND)


def test_it_is_refused_in_one_sentence_and_the_variables_are_put_back():
    before = {name: os.environ.get(name) for name in VARIABLES}
    with pytest.raises(Relaunched) as raised:
        run_trial(relaunch, False, Job(0, {}, 0, SEARCH), None)
    assert str(raised.value) == (
        "a trial must train in its own process, but evaluate started this program again for a second device, as "
        "Trainer(strategy='ddp') does; let lightning_tasks.Fit(..., trainer={'devices': 2}) start the processes, or "
        "train on one device"
    )
    assert {name: os.environ.get(name) for name in VARIABLES} == before


@pytest.mark.parametrize(
    ("command", "more"),
    [([sys.executable, "-c", "0"], {}), (["true"], {"LOCAL_RANK": "1"}), ([sys.executable, "-c", "0"], None)],
)
def test_a_trial_may_start_any_other_process(command, more):
    environment = None if more is None else {**os.environ, **more}
    ended = run_trial(
        lambda params: subprocess.run(command, env=environment).returncode, False, Job(0, {}, 0, SEARCH), None
    )
    assert (ended.objective, ended.message) == (0.0, "")


def test_outside_a_trial_nothing_is_refused():
    with no_relaunch():
        pass
    assert subprocess.run([sys.executable, "-c", "0"], env=SECOND).returncode == 0
