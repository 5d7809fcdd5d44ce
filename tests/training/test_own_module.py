"""A person's own LightningModule trains on two devices under every executor."""

import clouds
import pytest

from hsicfast.training.cluster import Ray
from hsicfast.training.executors import Local
from hsicfast.training.processes import Processes
from hsicfast.training.relaunch import Relaunched
from hsicfast.training.worker import Job, run_trial
from hsicfast.trials.trial import DONE, SEARCH
from lightning_tasks import Fit

JOB = Job(0, {"width": 3, "dropout": 0.2}, 5, SEARCH)


def on_two_devices(executor):
    fit = Fit(clouds.Clouds, clouds.CloudData(), trainer={"max_epochs": 2, "devices": 2})
    try:
        (trial,) = executor.run(fit, [JOB])
    finally:
        executor.close()
    assert (trial.status, trial.message, trial.metrics["epochs"]) == (DONE, "", 2)
    return trial.objective


@pytest.fixture(scope="module")
def here():
    """The objective of the trial in this process."""
    return on_two_devices(Local())


@pytest.mark.slow
def test_in_processes(here):
    assert on_two_devices(Processes(workers=1)) == here


@pytest.mark.slow
def test_on_a_cluster(here, small_cluster):
    assert on_two_devices(Ray(workers=1)) == here


def own_ddp(params):
    trainer = clouds.L.Trainer(
        max_epochs=1,
        strategy="ddp",
        devices=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(clouds.Clouds(), *clouds.loaders()[:2])


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_that_starts_the_program_again_is_refused_in_one_sentence():
    with pytest.raises(Relaunched, match=r"^a trial must train in its own process, but evaluate started this program"):
        run_trial(own_ddp, False, JOB, None)


def refused(executor):
    """A trainer that starts the program again ends the run under this executor, too."""
    try:
        with pytest.raises(Relaunched, match=r"^a trial must train in its own process, but evaluate started this"):
            list(executor.run(own_ddp, [JOB]))
    finally:
        executor.close()


@pytest.mark.slow
def test_so_it_is_in_processes():
    refused(Processes(workers=1))


@pytest.mark.slow
def test_so_it_is_on_a_cluster(small_cluster):
    refused(Ray(workers=1))
