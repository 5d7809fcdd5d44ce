"""What a terminal shows of a run, and what a file does."""

from rich.console import Console

from hsicfast.runs.progress import ProgressBar
from hsicfast.trials.trial import Trial


class TestProgress:
    def told(self, capfd, terminal):
        bar = ProgressBar(Console(force_terminal=terminal, width=100, stderr=True), "loss [%]", True)
        with bar:
            bar.on_start(40)
            bar.on_round("design", "drawn [at random]")
            for index in range(40):
                status = "diverged" if index % 10 == 3 else "done"
                bar.on_trial(Trial(index, {}, 40.0 - index, status=status), stored=index < 10)
        return capfd.readouterr().err

    def test_what_is_too_dear_is_not_the_best(self, capfd):
        bar = ProgressBar(Console(stderr=True), "loss", True, max_cost=2.0)
        with bar:
            bar.on_start(2)
            bar.on_trial(Trial(0, {}, 0.5, cost=1.0), stored=False)
            bar.on_trial(Trial(1, {}, 0.1, cost=3.0), stored=False)
        assert capfd.readouterr().err.splitlines()[-1].endswith("2 of 2 trials, best loss 0.5")

    def test_lines_where_there_is_no_terminal(self, capfd):
        lines = self.told(capfd, False).splitlines()
        assert lines[0] == "design: trials drawn [at random]"
        assert lines[1].startswith("design: 12 of 40 trials, best loss [%] 29, 1 diverged, about ")
        assert lines[-1] == "design: 40 of 40 trials, best loss [%] 1, 4 diverged"
        assert lines[1].endswith(" trials a minute")
        assert len(lines) == 1 + 8

    def test_a_fresh_seed_of_a_finalist_is_no_best(self, capfd):
        with ProgressBar(Console(width=100, stderr=True), "loss", True) as bar:
            bar.on_start(2)
            for index, origin in enumerate(("search", "final")):
                bar.on_trial(Trial(index, {}, 2.0 - index, origin=origin), stored=False)
        assert capfd.readouterr().err.splitlines()[-1].endswith("2 of 2 trials, best loss 2")

    def test_bar_on_a_terminal(self, capfd):
        said = self.told(capfd, True)
        assert "\x1b[" in said
        assert "40/40" in said
        assert "best loss [%] 1, 4 diverged" in said
        assert "/min" in said
