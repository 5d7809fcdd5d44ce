"""A folder that results go to."""

import pytest

from hsicfast.runs.store import check_writable


@pytest.fixture
def folder(tmp_path):
    check_writable(tmp_path / "results")
    return tmp_path
