"""Settings of the suite, and a Ray cluster for the files that need one."""

import os
import shutil
import tempfile

import pytest
from hypothesis import settings

# Compilation makes the first example slow; what is tested is truth, not time.
settings.register_profile("default", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def without_report(request, monkeypatch):
    """A report takes three seconds at the end of each run in a folder: only the tests about it have one."""
    if request.path.name not in ("test_first_class.py", "test_site.py"):
        monkeypatch.setattr("hsicfast.search.orchestrator.leave_report", lambda folder, result: None)


@pytest.fixture(scope="session")
def ray_folder():
    """Where Ray keeps its logs and sockets, whose paths must be short; it goes with the session."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    before = {name: os.environ.get(name) for name in ("RAY_TMPDIR", "RAY_ADDRESS")}
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["RAY_TMPDIR"] = folder
    yield folder
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def small_cluster(ray_folder):
    """A cluster of two cores, to which executors of this process connect."""
    ray = pytest.importorskip("ray")
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


def pytest_addoption(parser):
    parser.addoption("--storms", type=int, default=4, help="seeds of the restart storm; 20 take some minutes")
