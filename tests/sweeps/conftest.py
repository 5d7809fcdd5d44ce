"""A Hydra program of somebody's own, and what calls it."""

import logging
import sys

import pytest

from hsicfast.errors import InputError

PROGRAM = '''
"""Somebody's training, which knows nothing of hsicfast."""
import math
import os
import signal
import time

import hydra

HERE = os.path.dirname(os.path.abspath(__file__))


def loss_of(lr, optimizer, seed=0):
    loss = (math.log10(lr) + 2) ** 2 + seed % 7 * 1e-3
    if optimizer["name"] == "sgd":
        return loss + optimizer["momentum"] + (optimizer["damp"] if optimizer["nesterov"] else 0.1)
    return loss + 0.1


@hydra.main(version_base="1.3", config_path=os.path.join(HERE, "conf"), config_name="config")
def main(cfg):
    time.sleep(cfg.pause)
    if cfg.lr > cfg.fails_above:
        raise FloatingPointError("loss is nan")
    if cfg.lr > cfg.killed_above:
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.returns != "loss":
        return {"nothing": None, "text": "good"}[cfg.returns]
    return loss_of(cfg.lr, cfg.optimizer, cfg.seed)


if __name__ == "__main__":
    main()
'''
FILES = {
    "train.py": PROGRAM,
    "conf/config.yaml": """
defaults: [{optimizer: adam}, _self_]
lr: 0.1
pause: 0.0
fails_above: 0.5
killed_above: 1.0
returns: loss
seed: 0
""",
    "conf/optimizer/adam.yaml": "name: adam\n",
    "conf/optimizer/sgd.yaml": "name: sgd\nmomentum: 0.0\nnesterov: false\ndamp: 0.0\n",
}


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The folder of the program."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def program(project, tmp_path, monkeypatch, capfd):
    """Call the program in this process: its exit status, stdout, stderr."""

    def call(*arguments, sweeper="hsicfast"):
        import train  # somebody's own

        # As Hydra itself, whose handlers would write to the streams of an earlier test.
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", f"hydra/sweeper={sweeper}", *arguments])
        capfd.readouterr()
        try:
            train.main()
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capfd.readouterr()

    def missing():
        raise InputError("no page")

    # A page takes seconds: without its tools a report is tables alone.
    monkeypatch.setattr("hsicfast.search.run_report.check_report_tools", missing)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield call
    root.handlers, root.level = handlers, level
    sys.modules.pop("train", None)
