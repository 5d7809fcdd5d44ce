"""One finished run that several files draw."""

import pytest
from builders import finished_run


@pytest.fixture(scope="session")
def run():
    return finished_run(searched=20, lost=3, n_permutations=400)
