"""A kernel that has a domain."""

import numpy as np
import pytest

import hsicfast
from hsicfast import InputError, hsic


class TestSobolev:
    def test_by_hand(self):
        # 1 + B1(0) B1(0) + B2(0)/2 = 1 + 1/4 + 1/12; 1 + B1(0) B1(1) + B2(1)/2 = 1 - 1/4 + 1/12
        k = hsicfast.gram([0.0, 1.0, 0.5, 0.5], "sobolev")
        assert k[0, 0] == pytest.approx(4 / 3, rel=1e-15)
        assert k[0, 1] == pytest.approx(5 / 6, rel=1e-15)

    def test_mean_under_the_uniform_law_is_one(self):
        # its ANOVA part is orthogonal to constants
        t = (np.arange(400) + 0.5) / 400
        assert hsicfast.gram(t, "sobolev").mean(axis=1) == pytest.approx(1.0, abs=1e-5)

    @pytest.mark.parametrize(
        ("face", "name"),
        [(lambda x, y: hsic(x, y, kernel_x="sobolev"), "x"), (lambda x, _: hsicfast.gram(x, "sobolev"), "x")],
    )
    def test_needs_its_domain(self, face, name):
        text = rf"kernel 'sobolev' needs values in \[0, 1\], but {name} runs from 0 to 1.5; carry them there by ranks"
        with pytest.raises(InputError, match=text):
            face([0, 0.5, 1.0, 1.5], [0, 1, 2, 3])
        with pytest.raises(InputError, match=r"kernel 'sobolev' .* but y runs from -2 to 1"):
            hsic([0, 1, 2, 3], [0, 0.5, 1.0, -2], kernel_y="sobolev")
