"""The tile engine through torch gives the compiled engine's sums: on the processor, and on CUDA where torch sees it."""

import numpy as np
import pytest

from hsicfast import InputError, goal_hsic, hsic
from hsicfast.engines import gpu, tiles
from hsicfast.engines.kernels import KERNELS

torch = pytest.importorskip("torch")

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(gpu, "ENTRIES", 700)  # several blocks, the last one smaller


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("device", DEVICES)
class TestSums:
    def test_of_a_goal(self, kernel, d, device):
        random = np.random.default_rng(0)
        x, w = random.random((d, 61)).round(2), random.standard_normal(61)
        got = gpu.weighted_rows(x, w, kernel.code, 0.3, 0.1, device=device)
        want = tiles.weighted_rows(x, w, kernel.code, 0.3, 0.1)
        np.testing.assert_allclose(got[:, [0, 1, 3]], want[:, [0, 1, 3]], rtol=1e-10, atol=1e-12)
        assert got[:, 2].sum() == pytest.approx(want[:, 2].sum(), rel=1e-12)

    def test_of_two_samples(self, kernel, d, device):
        random = np.random.default_rng(1)
        x, y = random.random((d, 61)).round(2), random.random((2, 61))
        options = ((kernel.code, 0.3, 0.1), (0, 0.5, 0.7))
        rows, squares = gpu.paired_rows(x, y, *options, device=device)
        want_rows, want_squares = tiles.paired_rows(x, y, *options)
        np.testing.assert_allclose(rows, want_rows, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(squares, want_squares, rtol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_engine_in_use(monkeypatch, device):
    random = np.random.default_rng(2)
    x, y = random.random((50, 3)), random.random((50, 2))
    plain, plain_goal = hsic(x, y, confidence=0.9), goal_hsic(x, y[:, 0], bandwidth=0.4)
    monkeypatch.setattr(gpu, "check", lambda: None)
    for name in ("paired_rows", "weighted_rows"):
        there = getattr(gpu, name)
        monkeypatch.setattr(gpu, name, lambda *args, there=there: there(*args, device=device))
    for result, want in (
        (hsic(x, y, confidence=0.9, engine="gpu"), plain),
        (goal_hsic(x, y[:, 0], bandwidth=0.4, engine="gpu"), plain_goal),
    ):
        assert result.engine == "gpu"
        assert result.statistic == pytest.approx(want.statistic, rel=1e-12)
        assert result.ci == pytest.approx(want.ci, rel=1e-9)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a device")
def test_no_device():
    assert not gpu.pays(10**6)
    u = [0.1, 0.2, 0.3, 1.0]
    for ask in (lambda: hsic(u, u, engine="gpu"), lambda: goal_hsic(u, u, engine="gpu")):
        with pytest.raises(InputError, match="engine='gpu' needs a CUDA device that torch sees, but there is none"):
            ask()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_chosen_if_it_pays(monkeypatch):
    random = np.random.default_rng(3)
    x, y = random.random((gpu.MIN_GPU_SAMPLES, 2)), random.random(gpu.MIN_GPU_SAMPLES)
    monkeypatch.setattr(gpu, "ENTRIES", 2**24)
    assert hsic(x, y).engine == "gpu"
    assert hsic(x[1:], y[1:]).engine == "tile"
    assert hsic(x, y).statistic == pytest.approx(hsic(x, y, engine="tile").statistic, rel=1e-10)
