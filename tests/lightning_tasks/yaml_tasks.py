"""The tasks as their yaml has them."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[2] / "conf"
TASKS = ("runge", "bateman", "mnist", "cifar")


def config(name: str, trainer: str = "cpu") -> DictConfig:
    """conf/task/<name>.yaml and the trainer, placed as in the composed config."""
    task, machine = OmegaConf.load(CONF / "task" / f"{name}.yaml"), OmegaConf.load(CONF / "trainer" / f"{trainer}.yaml")
    return OmegaConf.create({"task": task, "trainer": machine})
