"""Objects of other packages as sources of trials."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from hsicfast import InputError
from hsicfast.formats.frames import read_frame

X = np.random.default_rng(0).standard_normal((60, 3))
Y = (X[:, 0] + 0.1 * X[:, 1] > 0).astype(int)


@pytest.fixture
def learn():
    pytest.importorskip("sklearn")
    from sklearn import linear_model, model_selection, svm, tree

    return SimpleNamespace(**vars(linear_model) | vars(model_selection) | vars(svm) | vars(tree))


class TestSearches:
    def test_a_grid_with_settings_that_do_not_exist(self, learn):
        grid = [
            {"kernel": ["linear"]},
            {"kernel": ["rbf"], "gamma": ["scale", 0.5], "class_weight": [None, "balanced"]},
        ]
        search = learn.GridSearchCV(learn.SVC(), grid, cv=2).fit(X, Y)
        found = read_frame(search)
        assert found.frame["param_kernel"].tolist() == ["linear"] + ["rbf"] * 4
        assert found.frame["param_gamma"].isna().tolist() == [True] + [False] * 4
        assert found.frame["param_gamma"].tolist()[1:] == [own["gamma"] for own in search.cv_results_["params"][1:]]
        assert sorted(found.frame["param_class_weight"].dropna()) == ["None", "None", "balanced", "balanced"]
        assert found.frame["mean_test_score"].tolist() == search.cv_results_["mean_test_score"].tolist()
        assert found.maximized == {"mean_test_score": True}
        assert set(found.stated) == {"param_kernel", "param_gamma", "param_class_weight"}
        assert found.beside["split0_test_score"] == "a fold's score"
        assert found.beside["rank_test_score"] == "a rank"
        assert found.beside["mean_fit_time"] == "a time"
        assert set(found.frame) == {*found.maximized, *found.stated, *found.beside}

    def test_random_settings_and_objects(self, learn):
        laws = {"C": stats.loguniform(0.01, 10.0), "tol": [1e-3, 1e-4]}
        search = learn.RandomizedSearchCV(learn.LogisticRegression(), laws, n_iter=8, cv=2, random_state=0).fit(X, Y)
        found = read_frame(search)
        assert found.frame["param_C"].tolist() == [own["C"] for own in search.cv_results_["params"]]
        assert found.frame["param_C"].dtype == np.float64

    def test_several_scores(self, learn):
        grid = {"max_depth": [1, 2, None]}
        scores = ["accuracy", "roc_auc"]
        tree = learn.DecisionTreeClassifier(random_state=0)
        chosen = learn.GridSearchCV(tree, grid, cv=2, scoring=scores, refit="roc_auc", return_train_score=True).fit(
            X, Y
        )
        found = read_frame(chosen)
        assert found.maximized == {"mean_test_roc_auc": True}
        assert found.beside["mean_test_accuracy"] == found.beside["mean_train_roc_auc"] == "a score"
        assert found.frame["param_max_depth"].tolist() == [1, 2, "None"]
        both = learn.GridSearchCV(tree, grid, cv=2, scoring=scores, refit=False).fit(X, Y)
        assert read_frame(both).maximized == {"mean_test_accuracy": True, "mean_test_roc_auc": True}

    def test_estimators_and_functions_by_their_names(self, learn):
        candidates = [{"clf": learn.SVC(C=2.0), "f": np.square}, {"clf": "drop", "f": len}]
        results = {"params": candidates, "mean_test_score": [0.5, 1.0]}
        frame = read_frame(SimpleNamespace(cv_results_=results, param_grid={})).frame
        assert frame["param_clf"].tolist() == ["SVC(C=2.0)", "drop"]
        assert frame["param_f"].tolist()[1] == "len"

    def test_not_fitted(self, learn):
        with pytest.raises(InputError, match=r"a search needs candidates .*, but this GridSearchCV has none; call"):
            read_frame(learn.GridSearchCV(learn.SVC(), {"C": [1, 2]}))


def result(config, metrics, error=None):
    return SimpleNamespace(config=config, metrics=metrics, error=error)


class Grid:
    """What a ResultGrid of Ray 2 offers; Ray's own needs a package that is not installed with it."""

    def __init__(self, results, trials=(), metric=None, mode=None):
        self._results = results
        self._experiment_analysis = SimpleNamespace(trials=list(trials), default_metric=metric, default_mode=mode)

    def __len__(self):
        return len(self._results)

    def __getitem__(self, place):
        return self._results[place]

    def get_dataframe(self):
        return pd.DataFrame([own.metrics for own in self._results])


class TestRayResults:
    settings = ({"lr": 0.5, "model": {"clip": None}}, {"lr": 0.25, "model": {"clip": 1.0}}, {"lr": 0.125})

    def test_read(self):
        metrics = [{"loss": 1.0, "config": self.settings[0], "pid": 3}, {"loss": 2.0, "config": self.settings[1]}, {}]
        results = [result(own.get("config"), own, None if own else ValueError()) for own in metrics]
        trials = [SimpleNamespace(config=own) for own in self.settings]
        found = read_frame(Grid(results, trials, "loss", "max"))
        assert found.frame["config/lr"].tolist() == [0.5, 0.25, 0.125]
        assert found.frame["config/model/clip"].tolist()[:2] == ["None", 1.0]
        np.testing.assert_array_equal(found.frame["loss"], [1.0, 2.0, math.nan])
        assert found.frame["state"].tolist() == ["terminated", "terminated", "error"]
        assert found.maximized == {"loss": True}
        assert set(found.stated) == {"config/lr", "config/model/clip"}
        assert found.beside["pid"] == "Ray's bookkeeping"

    def test_only_its_frame(self):
        frame = pd.DataFrame({"config/lr": [0.5, 0.25], "loss": [1.0, 2.0]}, index=[4, 7])
        found = read_frame(SimpleNamespace(get_dataframe=lambda: frame))
        pd.testing.assert_frame_equal(found.frame, frame.reset_index(drop=True))
        assert found.stated == {"config/lr": None}
        assert found.maximized is None


class TestFrames:
    table = pa.table({"lr": [0.5, 0.25], "opt": ["a", None]})

    def test_arrow(self):
        stream = SimpleNamespace(__arrow_c_stream__=self.table.__arrow_c_stream__)  # as any other package gives it
        for source in (self.table, self.table.to_batches()[0], stream):
            frame = read_frame(source).frame
            assert frame["lr"].tolist() == [0.5, 0.25]
            assert frame["opt"].isna().tolist() == [False, True]

    def test_any_that_becomes_one_of_pandas(self):
        frame = pd.DataFrame({"lr": [0.5]}, index=[3])
        found = read_frame(SimpleNamespace(to_pandas=lambda: frame))
        pd.testing.assert_frame_equal(found.frame, frame.reset_index(drop=True))

    @pytest.mark.parametrize("source", [7, None, [1], SimpleNamespace(to_pandas=lambda: 7)])
    def test_refused(self, source):
        with pytest.raises(InputError, match=r"trials come from a path, .* a ResultGrid of Ray, but got .*; name one"):
            read_frame(source)
