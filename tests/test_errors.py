"""Positions that a function no longer takes: accepted for now, with a warning that names the keyword."""

import doctest
import inspect
import warnings

import pytest

from hsicfast import errors, goal_hsic, hsic
from hsicfast.dependence import hsic as faces
from hsicfast.errors import keyword_only_after


@keyword_only_after(2, last="d")
def joined(a, b, *, c=3, d=4, e=5):
    """Its arguments.

    >>> joined(1, 2)
    (1, 2, 3, 4, 5)
    """
    return a, b, c, d, e


class TestKeywordOnlyAfter:
    def test_keywords_raise_no_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert joined(1, 2) == (1, 2, 3, 4, 5)
            assert joined(1, b=0, e=9, c=7) == (1, 0, 7, 4, 9)

    def test_positions_are_taken_and_their_keywords_named(self):
        text = r"joined takes at most 2 arguments by position, but got 4; write c=..., d=..., as release 0.3 refuses"
        with pytest.warns(FutureWarning, match=text) as caught:
            assert joined(1, 2, 7, 8, e=0) == (1, 2, 7, 8, 0)
        assert [warning.filename for warning in caught] == [__file__]

    def test_what_was_never_a_position_is_none_now(self):
        with pytest.raises(TypeError, match="takes 2 positional arguments but 5 were given"):
            joined(1, 2, 3, 4, 5)

    def test_twice_the_same(self):
        with (
            pytest.warns(FutureWarning, match="write c="),
            pytest.raises(TypeError, match="got multiple values for argument 'c'"),
        ):
            joined(1, 2, 3, c=3)

    def test_signature_and_doctest_are_those_of_the_function(self):
        assert str(inspect.signature(joined)) == "(a, b, *, c=3, d=4, e=5)"
        assert joined.__name__ == "joined"
        found = {test.name for test in doctest.DocTestFinder().find(faces) if test.examples}
        assert {f"{faces.__name__}.goal_hsic", f"{faces.__name__}.hsic"} <= found

    @pytest.mark.parametrize("face", [goal_hsic, hsic])
    def test_faces(self, face):
        kinds = [parameter.kind for parameter in inspect.signature(face).parameters.values()]
        assert set(kinds[2:]) == {inspect.Parameter.KEYWORD_ONLY}
        assert errors.REFUSED_FROM == "0.3"

    def test_a_face_by_position(self):
        u, y = [0.1, 0.2, 0.8, 0.9], [1.0, 2.0, 3.0, 4.0]
        with pytest.warns(FutureWarning, match="goal_hsic takes .* write goal=..., kernel=..., bandwidth=..."):
            assert goal_hsic(u, y, 0.5, "laplace", 0.3) == goal_hsic(u, y, goal=0.5, kernel="laplace", bandwidth=0.3)
