"""Would stacks of image networks pay? Steps of networks of one shape, vmapped and one after the other, and group sizes.

    python benches/bench_vmapped.py
    python benches/bench_vmapped.py --device cuda --stack 4 16 64 256

The images are random numbers of the shape of the data set, so that none is needed. Networks are those of random
configurations of the real space, in N copies with other weights, learning rates and batches: the best case of a stack,
which no padding slows down. A step is forward, backward and Adam.

- alone: N networks one after the other, by autograd and torch's own Adam, as trials train.
- stacked: `torch.func`: vmap over grad of functional_call, and an Adam with a learning rate for each network.
- graph (CUDA alone): one network alone, its step recorded once and replayed as a CUDA graph.

On a CPU the time is that of the process, so that others on the machine count little. Last it says how many of the
configurations of a run share a shape at all.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F

from benches.bench_stacked import configurations, relative
from benches.results import add_json, write_results
from lightning_tasks import module, nets

SHAPES = {"mnist": (1, 28, 28), "cifar": (3, 32, 32)}
# Training images of a task as its YAML says, for the number of steps in an epoch.
SAMPLES = 4000
BETAS, EPSILON = (0.9, 0.999), 1e-8
Step = Callable[[int], Any]


def settings_of(params: dict[str, Any], dropout: bool) -> dict[str, Any]:
    """Every hyperparameter of a network, with Adam, and dropout alone if it is wanted."""
    known = {**module.DEFAULTS, **nets.CNN_DEFAULTS, **params}
    return {**known, "optimizer": "adam", "amsgrad": False, "dropout": dropout and known["dropout"]}


def networks(task: str, settings: dict[str, Any], n: int, device: torch.device) -> list[nn.Sequential]:
    """`n` networks of these hyperparameters, each with weights of its own."""
    found = []
    for seed in range(n):
        torch.manual_seed(seed)
        net = nets.cnn(SHAPES[task], 10, settings)
        nets.initialise(net, settings["initialiser"])
        found.append(net.to(device).train())
    return found


def data(task: str, n: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random batches (n, rows, channels, height, width), and their classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, rows, *SHAPES[task], generator=generator)
    return x.to(device), torch.randint(10, (n, rows), generator=generator).to(device)


def alone(own: list[nn.Sequential], rates: list[float], x: Tensor, y: Tensor) -> Step:
    """A step of each network, one after the other."""
    settings = {**module.DEFAULTS, "optimizer": "adam"}
    optimizers = [
        module.make_optimizer(net.parameters(), {**settings, "learning_rate": rate})
        for net, rate in zip(own, rates, strict=True)
    ]
    batches = [each.contiguous(memory_format=torch.channels_last) for each in x]

    def step(number: int) -> None:
        for net, optimizer, batch, target in zip(own, optimizers, batches, y, strict=True):
            loss = F.cross_entropy(net(batch), target)
            loss.item()  # a trial looks at every loss, to notice that it diverges
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return step


def stacked(own: list[nn.Sequential], rates: list[float], x: Tensor, y: Tensor) -> tuple[Step, Callable[[], Any]]:
    """A step of all networks at once, and a function that returns their stacked weights and buffers."""
    params, buffers = stack_module_state(own)  # type: ignore[arg-type]
    # Under vmap, batch norm cannot follow convolutions with the channels last, as those on CUDA then are.
    params = {name: value.detach().contiguous() for name, value in params.items()}
    base = copy.deepcopy(own[0]).to("meta")
    first = {name: torch.zeros_like(value) for name, value in params.items()}
    second = {name: torch.zeros_like(value) for name, value in params.items()}
    rate = torch.tensor(rates, device=x.device)

    def loss(weights: dict[str, Tensor], state: dict[str, Tensor], batch: Tensor, target: Tensor) -> Any:
        # Batch norms write into the buffers, so that each network needs its own as an argument.
        output = functional_call(base, (weights, state), (batch,))
        return F.cross_entropy(output, target)

    together = vmap(grad_and_value(loss), randomness="different")

    def step(number: int) -> None:
        gradients, losses = together(params, buffers, x, y)
        torch.isfinite(losses).all().item()
        ones, twos = 1.0 - BETAS[0] ** (number + 1), 1.0 - BETAS[1] ** (number + 1)
        names = list(params)
        grads, m, v = ([each[name] for name in names] for each in (gradients, first, second))
        torch._foreach_lerp_(m, grads, 1.0 - BETAS[0])
        torch._foreach_mul_(v, BETAS[1])
        torch._foreach_addcmul_(v, grads, grads, 1.0 - BETAS[1])
        roots = torch._foreach_sqrt(v)
        torch._foreach_div_(roots, twos**0.5)
        torch._foreach_add_(roots, EPSILON)
        for name, mean, root in zip(names, m, roots, strict=True):
            scale = (rate / ones).view(-1, *(1,) * (mean.dim() - 1))
            params[name].sub_(scale * mean / root)

    return step, lambda: (params, buffers)


def graph(net: nn.Sequential, rate: float, x: Tensor, y: Tensor) -> Step:
    """A step of one network as a CUDA graph."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate, capturable=True)
    batch = x.contiguous(memory_format=torch.channels_last)

    def work() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(batch), y)
        loss.backward()
        optimizer.step()
        return loss

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        held = work()

    def step(number: int) -> None:
        recorded.replay()
        held.item()

    return step


def seconds(step: Step, device: torch.device, budget: float) -> float:
    """Seconds of a step, the smallest mean of three rounds that last `budget` seconds together."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time

    def timed(first: int, count: int) -> float:
        start = clock()
        for number in range(first, first + count):
            step(number)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (clock() - start) / count

    timed(0, 2)
    count = max(1, int(budget / 3 / timed(2, 1)))
    return min(timed(3 + number * count, count) for number in range(3))


def apart(task: str, settings: dict[str, Any], device: torch.device, steps: int = 10) -> float:
    """How far weights of vmapped networks are from the same ones trained alone; the largest of four networks.

    Biases are left out: one before a batch norm has a gradient of nothing but rounding, which Adam makes a step.
    """
    plain = {**settings, "dropout": False}
    own, rates = networks(task, plain, 4, device), [1e-3] * 4
    x, y = data(task, 4, min(plain["batch_size"], 64), device)
    step, state = stacked(copy.deepcopy(own), rates, x, y)
    other = alone(own, rates, x, y)
    for number in range(steps):
        step(number)
        other(number)
    params, _ = state()
    found = []
    for place, net in enumerate(own):
        weights = {name: value.detach() for name, value in net.named_parameters() if value.dim() > 1}
        found.append(relative({name: params[name][place] for name in weights}, weights))
    return max(found)


def shape_of(task: str, settings: dict[str, Any], multiple: int) -> tuple[Any, ...]:
    """What networks of a stack must share, with the maps of each stage padded to a `multiple`, and coarse batches."""
    net = nets.cnn(SHAPES[task], 10, settings)
    found: list[Any] = []
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            found.append((layer.kernel_size[0], layer.stride[0], -(-layer.out_channels // multiple) * multiple))
        elif isinstance(layer, nn.MaxPool2d):
            found.append(layer.kernel_size)
    # padded to a power of two if channels are padded, else as it is
    rows = settings["batch_size"]
    return *found, rows if multiple == 1 else 2 ** int(np.ceil(np.log2(rows)))


def groups(task: str, counts: tuple[int, ...] = (100, 1000)) -> Table:
    """How many of so many random configurations share their shape with others, a row for each way to pad."""
    table = Table(
        "configurations", "padding", "stacks", "networks in the stack of a network", "alone", box=box.SIMPLE, title=task
    )
    ways = {
        1: "none",
        8: "maps to multiples of 8, batches to powers of 2",
        1024: "maps to the largest, batches to powers of 2",
    }
    for n in counts:
        tried = [settings_of(params, dropout=True) for params in configurations(task, n)]
        for multiple, way in ways.items():
            sizes = Counter(shape_of(task, each, multiple) for each in tried).values()
            single = sum(size == 1 for size in sizes)
            mean = sum(size * size for size in sizes) / n
            table.add_row(f"{n:,}", way, f"{len(sizes):,}", f"{mean:.1f}", f"{single / n:.0%}")
    return table


def measured(task: str, settings: dict[str, Any], sizes: list[int], device: torch.device, budget: float) -> list[str]:
    """A row of the table: a network, milliseconds of its step alone, and how many times as fast other ways are."""
    rows = settings["batch_size"]
    x, y = data(task, 1, rows, device)
    by_itself = alone(networks(task, settings, 1, device), [1e-3], x, y)
    before = seconds(by_itself, device, budget)
    each: list[float | str] = []
    for n in sizes:
        rates = np.geomspace(1e-4, 1e-2, n).tolist()
        step, _ = stacked(networks(task, settings, n, device), rates, *data(task, n, rows, device))
        each.append(or_reason(lambda step=step, n=n: seconds(step, device, budget) / n))
    if device.type == "cuda":
        (net_of_graph,) = networks(task, settings, 1, device)
        each.append(or_reason(lambda: seconds(graph(net_of_graph, 1e-3, x[0], y[0]), device, budget)))
    own = min(before, seconds(by_itself, device, budget))
    depth, first, growth, inner = (settings[name] for name in ("stages", "filters", "filter_growth", "kernel_size"))
    net = f"{settings['stem']}; {depth} stage{'s' * (depth > 1)} of {first} x {growth:.1f}^i maps, kernel {inner}"
    extras = [name for name in ("batch_norm", "dropout") if settings[name]]
    found = [", ".join([net, *extras]).replace("batch_norm", "batch norm"), str(rows), f"{1e3 * own:.2f}"]
    found += [its if isinstance(its, str) else f"{own / its:.2f}" for its in each]
    distance = or_reason(lambda: apart(task, settings, device))
    return [*found, distance if isinstance(distance, str) else f"{distance:.1e}"]


def or_reason(measure: Callable[[], float]) -> float | str:
    """What was measured, or why it cannot be: a layer that vmap or a graph does not know costs the rest nothing."""
    try:
        return measure()
    except RuntimeError as error:
        return str(error).splitlines()[0]


def main() -> None:
    """Run the bench, print its tables, and write them beside the machine and the versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tasks", nargs="*", choices=tuple(SHAPES), default=["mnist"])
    parser.add_argument("--stack", nargs="*", type=int, default=[4, 16], help="networks in a stack")
    parser.add_argument("--networks", type=int, default=8, help="random configurations that are measured")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds of a measurement")
    add_json(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    device, console, tables = torch.device(given.device), Console(width=160), []
    for task in given.tasks:
        heads = ["network", "batch", "alone, ms a step", *(f"stack of {n}: times as fast" for n in given.stack)]
        graphs = ["CUDA graph: times as fast"] if device.type == "cuda" else []
        table = Table(*heads, *graphs, "weights apart after 10 steps", box=box.SIMPLE, title=task)
        for params in configurations(task, given.networks):
            table.add_row(*measured(task, settings_of(params, dropout=True), given.stack, device, given.budget))
        tables += [table, groups(task)]
        for made in tables[-2:]:
            console.print(made)
    on = torch.cuda.get_device_name() if device.type == "cuda" else "one thread, in processor time"
    write_results(given.json, tables, f"On {on}. A step is forward, backward and Adam; all in one run.")


if __name__ == "__main__":
    main()
