"""Stacked training against one fit per trial: trials per second, in one run, on the machine it is called on.

    python benches/bench_stacked.py
    python benches/bench_stacked.py --device cuda --networks 4096

The first trains random configurations of the real spaces in two workers of the `processes` executor: each in a fit of
its own, as a plain network and as a stack of one, and in groups. The second trains so many networks at once on a GPU,
against one CPU core, and compares networks of the stack with the same ones trained alone there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from rich import box  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import lightning_tasks  # noqa: E402, F401 -- declares torchvision's operators before Lightning imports it
from benches.results import add_json, write_results  # noqa: E402
from hsicfast.proposals.samplers import design  # noqa: E402

BARS = {"runge": 10.0, "bateman": 5.0}


def configurations(task: str, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Random configurations of the space of a task."""
    from hydra.utils import instantiate

    space = OmegaConf.load(_ROOT / "conf" / "task" / f"{task}.yaml").space
    return design(instantiate(space, _convert_="all"), n, seed, "random", 0, None)


def trainee(task: str, training: str, epochs: int | None = None, **trainer: Any) -> Any:
    """The evaluator of a task as its YAML file says, with other epochs if they are given."""
    from hydra.utils import instantiate

    conf = _ROOT / "conf"
    whole = OmegaConf.create(
        {
            "task": OmegaConf.load(conf / "task" / f"{task}.yaml"),
            "trainer": OmegaConf.merge(OmegaConf.load(conf / "trainer" / "cpu.yaml"), trainer),
        }
    )
    whole.task.training = training
    if epochs is not None:
        whole.task.evaluate.epochs = epochs
    return instantiate(whole.task.evaluate, _convert_="all")


def on_cuda(networks: int, alone: int, cores: int) -> dict[str, Any]:
    """Train `networks` Runge configurations at once on CUDA; `alone` of them again, and `cores` on one CPU core."""
    tried = configurations("runge", networks)
    seeds = list(range(networks))
    gpu, cpu = trainee("runge", "stacked", accelerator="gpu"), trainee("runge", "solo")
    trainee("runge", "stacked", epochs=2, accelerator="gpu").evaluate_many(tried[:64], seeds[:64])  # CUDA loads kernels
    start = time.perf_counter()
    stacked = gpu.evaluate_many(tried, seeds)
    torch.cuda.synchronize()
    gpu_seconds = time.perf_counter() - start
    cpu(tried[0], 0)
    start = time.perf_counter()
    plain = [cpu(tried[place], seeds[place]) for place in range(cores)]
    cpu_seconds = time.perf_counter() - start
    rates = networks / gpu_seconds, cores / cpu_seconds
    same = [_apart(stacked[place]["objective"], plain[place]["objective"]) for place in range(cores)]
    return {
        "networks": networks,
        "seconds": gpu_seconds,
        "trials per second on CUDA": rates[0],
        "trials per second on one core": rates[1],
        "ratio": rates[0] / rates[1],
        "diverged": sum(result["status"] == "diverged" for result in stacked),
        "objectives, CUDA against CPU, apart by (median)": float(np.nanmedian(same)),
        **_alone_on_cuda(tried, seeds, alone),
    }


def _apart(one: float, other: float) -> float:
    return abs(one - other) / max(abs(one), abs(other)) if one == one and other == other else float("nan")


def _alone_on_cuda(tried: list[dict[str, Any]], seeds: list[int], alone: int) -> dict[str, Any]:
    """How far weights of networks in stacks are from those of the same networks trained alone, on CUDA."""
    found: dict[str, Any] = {}
    tried, seeds = tried[:512], seeds[:512]
    for epochs in (5, 100):
        gpu = trainee("runge", "stacked", epochs=epochs, accelerator="gpu")
        together = [place for places in gpu.groups(tried) for place in places[:1]][:alone]
        stacked = gpu.train_many(tried, seeds)
        apart = []
        for place in together:
            ((_, own),) = gpu.train_many([tried[place]], [seeds[place]])
            apart.append(relative(stacked[place][1], own))
        found[f"weights, stacked against alone, apart after {epochs} epochs"] = {
            "equal to the bit": sum(value == 0.0 for value in apart),
            "of": len(apart),
            "median": float(np.median(apart)),
            "largest": max(apart),
        }
    return found


def relative(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The distance of two networks' weights, relative to their norm, the largest over their tensors."""
    if one.keys() != other.keys():
        return float("inf")
    apart = [0.0]
    for name, own in one.items():
        norm = float(own.double().norm())
        apart.append(float((own.double() - other[name].double()).norm()) / (norm or 1.0))
    return max(apart)


def on_processes(task: str, n: int, solo: int) -> dict[str, Any]:
    """Train `n` configurations in two workers that train groups, and the first `solo` in two solo workers."""
    from hsicfast import Processes
    from hsicfast.training.groups import grouped
    from hsicfast.training.worker import Job

    tried = configurations(task, n)
    jobs = [Job(index, params, index, "design") for index, params in enumerate(tried)]
    found: dict[str, Any] = {"task": task}
    # "plain" trials train as before there were stacks: by autograd and torch's own optimisers.
    for training, own in (("plain", jobs[:solo]), ("auto", jobs), ("solo", jobs[:solo]), ("plain again", jobs[:solo])):
        evaluate = trainee(task, training.split()[0])
        workers = Processes(workers=2)
        list(workers.run(evaluate, jobs[:2]))  # the workers start, and import torch
        start = time.perf_counter()
        ended = list(workers.run(evaluate, grouped(evaluate, own)))
        seconds = time.perf_counter() - start
        workers.close()
        found[training] = {"trials": len(ended), "seconds": seconds, "trials per second": len(ended) / seconds}
    found["bar"] = BARS[task]
    return found


class TimeStacked:
    """For asv: the time of a small stack, and of one of its networks alone."""

    timeout = 300

    def setup(self) -> None:
        """Draw configurations of one padded shape."""
        self.trainee = trainee("runge", "stacked", epochs=30)
        tried = configurations("runge", 400)
        self.tried = [tried[place] for place in max(self.trainee.groups(tried), key=len)][:32]

    def time_together(self) -> None:
        """32 networks in one stack, 30 epochs."""
        self.trainee.evaluate_many(self.tried, list(range(len(self.tried))))

    def time_alone(self) -> None:
        """One network, 30 epochs."""
        self.trainee.evaluate_many(self.tried[:1], [0])


def beside_solo(found: list[dict[str, Any]]) -> Table:
    """A row for each way to train a task in two workers."""
    table = Table("task", "how", "networks", "seconds", "a second", "stacks against it", "wanted", box=box.SIMPLE)
    ways = {"auto": "in stacks", "solo": "one by one", "plain": "by autograd", "plain again": "by autograd, again"}
    for each in found:
        rate = each["auto"]["trials per second"]
        for way, text in ways.items():
            own = each[way]
            ratio = "" if way == "auto" else f"{rate / own['trials per second']:.1f}"
            wanted = f"{each['bar']:.0f}" if way == "solo" else ""
            seconds, second = f"{own['seconds']:.0f}", f"{own['trials per second']:.1f}"
            table.add_row(each["task"], text, str(own["trials"]), seconds, second, ratio, wanted)
    return table


def beside_a_core(found: dict[str, Any]) -> Table:
    """A row for each number that was measured on CUDA."""
    table = Table("what", "seen", box=box.SIMPLE)
    for what, seen in found.items():
        text = ", ".join(f"{name} {value:.3g}" for name, value in seen.items()) if isinstance(seen, dict) else ""
        table.add_row(what, text or f"{seen:,.4g}")
    return table


def main() -> None:
    """Run the bench, print its table, and write it beside the machine and the versions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--networks", type=int, default=4096, help="at once on CUDA")
    parser.add_argument("--alone", type=int, default=8, help="networks that train alone on CUDA as well")
    parser.add_argument("--cores", type=int, default=16, help="networks that train on one CPU core")
    parser.add_argument("--tasks", nargs="*", choices=tuple(BARS), default=list(BARS))
    parser.add_argument("--n", type=int, default=512, help="configurations of each task on two CPU workers")
    parser.add_argument("--solo", type=int, default=128, help="of them in solo workers, twice")
    add_json(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.device == "cuda":
        device = torch.cuda.get_device_name()
        table, note = beside_a_core(on_cuda(given.networks, given.alone, given.cores)), f"Device: {device}."
    else:
        found = [on_processes(task, given.n, given.solo) for task in given.tasks]
        table, note = beside_solo(found), "Two workers of one thread each; all in one run."
    Console(width=120).print(table)
    write_results(given.json, [table], note)


if __name__ == "__main__":
    main()
