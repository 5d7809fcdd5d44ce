"""A space to YAML and back."""

import numpy as np
import pytest
from builders import frame_with_gaps

from hsicfast import InputError, SearchSpace
from hsicfast.reading.guess import guess_space
from hsicfast.space.formats import read_space, write_space


class TestYaml:
    def test_there_and_back(self, tmp_path):
        guess = guess_space(frame_with_gaps(200).assign(lr=10.0 ** -np.arange(200), n=range(200)))
        write_space(guess.space, tmp_path / "space.yaml", guess.reasons)
        space = read_space(tmp_path / "space.yaml")
        assert isinstance(space, SearchSpace)
        assert {name: repr(kind) for name, kind in space.items()} == {n: repr(k) for n, k in guess.space.items()}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("- 1\n", "maps names to hyperparameters, but .* holds list"),
            ("a: [\n", "but .* is none"),
            ("a: {type: Flot, low: 0, high: 1}\n", "must be one of .* but 'a' has 'Flot'"),
            ("a: {type: Float, low: 0, hihg: 1}\n", "a Float has the fields of hsicfast.Float, but 'a' "),
            ("a: {type: Float, low: 2, high: 1}\n", "low"),
        ],
    )
    def test_refused(self, tmp_path, text, message):
        (tmp_path / "space.yaml").write_text(text)
        with pytest.raises(InputError, match=message):
            read_space(tmp_path / "space.yaml")

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match=r"none.yaml gave: No such file or directory"):
            read_space(tmp_path / "none.yaml")
