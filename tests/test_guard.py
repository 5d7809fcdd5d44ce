"""The guard around foreign code: what a training leaves behind in the process changes nothing (issue 22, point 3)."""

import os
import signal
import warnings

import numpy as np
import pytest

from hsicfast.guard import foreign, neutral
from hsicfast.proposals.samplers import Turn, propose
from hsicfast.search.orchestrator import minimize
from hsicfast.space.search_space import Float, SearchSpace
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

torch = pytest.importorskip("torch")
SPACE = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})


def state():
    return (
        os.getcwd(),
        signal.getsignal(signal.SIGINT),
        np.geterr(),
        [own for own in warnings.filters if own[0] == "error"],
        (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()),
    )


@pytest.fixture
def undone():
    """The state of before, whatever a test does to it."""
    before, filters = state(), warnings.filters[:]
    yield
    warnings.filters[:] = filters
    os.chdir(before[0])
    signal.signal(signal.SIGINT, before[1])
    np.seterr(**before[2])
    torch.set_grad_enabled(before[4][0])
    torch.set_default_dtype(before[4][1])
    torch.set_default_device(None)


LEFT = {
    "folder": lambda: os.chdir("/"),
    "signal": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "errors": lambda: np.seterr(all="raise"),
    "warnings": lambda: warnings.simplefilter("error"),
    "gradients": lambda: torch.set_grad_enabled(False),
    "type": lambda: torch.set_default_dtype(torch.float16),
    "device": lambda: torch.set_default_device("meta"),
}


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("change", LEFT.values(), ids=LEFT)
def test_what_foreign_code_changes_is_put_back(change):
    before = state()
    with foreign():
        change()
    assert state() == before


@pytest.mark.usefixtures("undone")
def test_an_error_puts_it_back_too():
    before = state()

    def fail():
        with foreign():
            np.seterr(all="raise")
            np.divide(1.0, 0.0)

    with pytest.raises(FloatingPointError):
        fail()
    assert state() == before


@pytest.mark.usefixtures("undone")
def test_foreign_code_runs_in_the_state_of_its_caller():
    torch.set_default_dtype(torch.float64)
    np.seterr(all="raise")
    with neutral(), neutral():
        assert (np.geterr()["divide"], torch.get_default_dtype()) == ("warn", torch.float32)
        with foreign():
            assert (np.geterr()["divide"], torch.get_default_dtype()) == ("raise", torch.float64)
            with neutral():
                assert torch.get_default_dtype() == torch.float32
        assert (np.geterr()["divide"], torch.get_default_dtype()) == ("warn", torch.float32)
    assert (np.geterr()["divide"], torch.get_default_dtype()) == ("raise", torch.float64)


@pytest.mark.usefixtures("undone")
def test_random_streams_go_on():
    np.random.seed(1)  # noqa: NPY002 -- the global stream of a user
    first, second = np.random.random(2)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    with foreign():
        assert np.random.random() == first  # noqa: NPY002
    with foreign():
        assert np.random.random() == second  # noqa: NPY002


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("name", ["errors", "gradients", "type", "device", "warnings"])
def test_proposals_are_the_same(name):
    random = np.random.default_rng(0)
    points = random.random((6, 2))
    trials = [Trial(i, {"x": float(x), "y": float(y)}, float((x - 0.3) ** 2 + y)) for i, (x, y) in enumerate(points)]
    table = TrialTable.from_trials(SPACE, trials)

    def proposed():
        with neutral():
            return propose(SPACE, {}, table, Turn(0, 6, 1))

    before = proposed()
    LEFT[name]()
    assert proposed() == before


@pytest.mark.usefixtures("undone")
def test_a_run_in_a_relative_folder_survives_a_training_that_leaves_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def evaluate(params):
        for change in LEFT.values():
            change()
        return params["x"]

    before = state()
    result = minimize(evaluate, SPACE, n_trials=8, strategy="random", folder="run")
    assert len(result.trials) == 8
    assert len(list((tmp_path / "run" / "results").iterdir())) == 8
    assert state() == before
