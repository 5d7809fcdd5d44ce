"""A pool of two workers, and a folder that results go to."""

import pytest

from hsicfast.runs.store import check_writable
from hsicfast.training.processes import Processes


@pytest.fixture(scope="module")
def processes():
    pool = Processes(workers=2)
    yield pool
    pool.close()


@pytest.fixture
def folder(tmp_path):
    check_writable(tmp_path / "results")
    return tmp_path
