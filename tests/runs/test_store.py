"""A run's folder: its settings, its trials."""

import pytest
from builders import GOOD, STORED

from hsicfast.errors import InputError
from hsicfast.runs.results import write_result
from hsicfast.runs.store import Store

SETTINGS = {"goal": 0.1, "space": {"rate": {"low": 0.0}}}


def opened(folder, **changes):
    return Store(STORED, changes.pop("settings", SETTINGS), True, folder, **changes)


class TestFolder:
    def test_unwritable(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=r"must be writable, but .* gave: (Not a directory|File exists); pass ano"):
            opened(tmp_path / "file")

    def test_same_settings_go_on(self, folder):
        opened(folder).close()
        write_result(folder, GOOD)
        assert opened(folder).trials == {12: GOOD}

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"goal": 0.2, "space": {"rate": {"low": 0.0}}}, "goal was 0.1 and is 0.2 now"),
            ({"goal": {"low": 0.5}}, "goal.low was absent and is 0.5 now"),
            ({"space": SETTINGS["space"]}, "goal was 0.1 and is absent now"),
            ({**SETTINGS, "more": "x"}, 'more was absent and is "x" now'),
        ],
    )
    def test_other_settings_are_refused_with_the_first_difference(self, folder, settings, said):
        opened(folder).close()
        with pytest.raises(InputError, match="keeps the settings it was started with") as error:
            opened(folder, settings=settings)
        assert said in str(error.value)
        assert "pass another hydra.run.dir=" in str(error.value)

    def test_settings_that_give_the_same_trials_go_on(self, folder):
        alike = {"how": ("fast", "slow")}
        before = {**SETTINGS, "task": {"how": "fast", "inner": {"how": "fast"}, "kind": "fast"}}
        opened(folder, settings=before, n_trials=9, alike=alike).close()
        kept = (folder / "settings.json").read_text()
        now = {**SETTINGS, "task": {"how": "slow", "inner": {"how": "slow"}, "kind": "fast"}}
        again = opened(folder, settings=now, n_trials=9, alike=alike)
        again.close()
        assert again.changed == [f'task.{name} was "fast" and is "slow" now' for name in ("how", "inner.how")]
        assert (again.place, len(again.history)) == (0, 1)
        assert (folder / "settings.json").read_text() == kept
        for other, said in (("other", 'task.how was "fast" and is "other" now'), (None, "task.how was")):
            task = {**now["task"], "how": other, "kind": "slow"}
            with pytest.raises(InputError, match="keeps the settings it was started with") as error:
                opened(folder, settings={**now, "task": task}, n_trials=9, alike=alike)
            assert said in str(error.value)
            assert 'task.kind was "fast" and is "slow" now' in str(error.value)
            assert "inner.how" not in str(error.value)

    def test_broken_settings_are_named(self, folder):
        (folder / "settings.json").write_text("{")
        with pytest.raises(InputError, match=r"settings\.json is not .* pass resume=force if you are sure"):
            opened(folder)

    def test_without_a_folder_results_stay_in_memory(self):
        kept = Store(STORED, SETTINGS, True)
        kept.add(GOOD)
        kept.close()
        assert kept.trials == {12: GOOD}

    def test_url_without_a_folder_is_refused(self):
        with pytest.raises(InputError, match="folder=None; pass folder= as well"):
            Store(STORED, SETTINGS, True, None, "sqlite://")
