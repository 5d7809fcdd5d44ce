"""Lightning's own messages are silent during a fit, and only then."""

import logging

import pytest

pytest.importorskip("torch")

from lightning_tasks.fits.namespaces import quiet


@pytest.mark.parametrize("name", ["accelerators.cuda", "utilities.rank_zero"])
def test_quiet(name):
    logger = logging.getLogger(f"pytorch_lightning.{name}")
    before = logger.isEnabledFor(logging.INFO)
    with quiet():
        assert not logger.isEnabledFor(logging.INFO)
        assert logger.isEnabledFor(logging.ERROR)
    assert logger.isEnabledFor(logging.INFO) == before
