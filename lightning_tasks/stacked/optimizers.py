"""The optimisers of a stack: torch's formulas, with the numbers of each network beside its weights.

Each network has its own learning rate, betas, momentum and rho, as a column that is broadcast over its weights. The
networks of one optimiser lie side by side in every tensor, so that a step is a few operations for each optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lightning_tasks.stacked.networks import Stack, Weights

# Torch's defaults.
_EPSILON = {"adam": 1e-8, "amsgrad": 1e-8, "rmsprop": 1e-8, "centered": 1e-8, "adagrad": 1e-10}
_MEMORIES = {"adam": 2, "amsgrad": 3, "sgd": 1, "rmsprop": 2, "centered": 3, "adagrad": 1}
Tensors = list[Tensor]


@dataclass(frozen=True)
class _Part:
    """One optimiser's part of all tensors, at a step of the epoch.

    Attributes
    ----------
    variant : str
    weights, gradients : list of (n, size)
    memories : list of lists of (n, size)
    numbers : dict of str to list of (n, 1)
        The columns of each tensor.
    groups : list of Tensor
        For each tensor the networks of its part.
    """

    variant: str
    weights: Tensors
    gradients: Tensors
    memories: list[Tensors]
    numbers: dict[str, Tensors]
    groups: Tensors


class Optimizers:
    """Steps of all networks of a stack.

    Parameters
    ----------
    stack
        The networks.

    Attributes
    ----------
    memory : list of Weights
        Momenta and mean squares; which is which depends on the optimiser of a network.
    """

    def __init__(self, stack: Stack) -> None:
        layout = self.layout = stack.layout
        self.stack = stack
        most = max(_MEMORIES[member.variant] for member in layout.members)
        self.memory = [Weights(layout, stack.device, stack.dtype) for _ in range(most)]
        everyone = list(range(layout.size))
        self._rows = [everyone, *(layer.rows for layer in layout.layers[1:]), everyone, everyone]
        self._columns = {name: self._column(name) for name in ("learning_rate", "momentum", "rho", "beta1", "beta2")}
        self._columns["nesterov"] = self._column("nesterov")
        self._regularised = [self._penalties(rows) for rows in self._rows[:-1]]
        # Steps at which the same networks are idle share their parts.
        cached: dict[tuple[int, ...], list[_Part]] = {}
        self._parts = []
        for step in range(layout.steps):
            active = tuple(index for index in everyone if layout.counts[index] > step)
            if active not in cached:
                cached[active] = self._at(step)
            self._parts.append(cached[active])
        self._counts = torch.tensor(layout.counts, device=stack.device, dtype=torch.float64)

    def begin(self, epoch: int) -> None:
        """Compute what the steps of an epoch need that is not the same in every epoch: Adam's corrections."""
        if not any(member.settings["optimizer"] == "adam" for member in self.layout.members):
            return
        steps = torch.arange(1, self.layout.steps + 1, device=self.stack.device, dtype=torch.float64)[:, None]
        steps = epoch * self._counts + steps
        root = (1.0 - self._columns["beta2"] ** steps).sqrt()
        rate = self._columns["learning_rate"] / (1.0 - self._columns["beta1"] ** steps)
        corrections = torch.stack((-rate * root, root * _EPSILON["adam"]), dim=1)
        self._corrections = corrections.to(self.stack.dtype)[..., None].contiguous()

    def step(self, step: int) -> None:
        """Add the penalties to the gradients, and step all networks that have a batch `step`."""
        if any(found is not None for found in self._regularised):
            self._penalise()
        for part in self._parts[step]:
            _STEPS[part.variant](self, part, step)

    def _column(self, name: str) -> Tensor:
        values = [float(member.settings[name]) for member in self.layout.members]
        return torch.tensor(values, device=self.stack.device, dtype=torch.float64)

    def _penalties(self, rows: Sequence[int]) -> tuple[Tensor, Tensor] | None:
        """The derivatives of l1 |w| and l2 w^2, over sign(w) and w, for the networks of a tensor."""
        settings = [self.layout.members[index].settings for index in rows]
        own = [(each["l1"], 2.0 * each["l2"]) if each["regularisation"] else (0.0, 0.0) for each in settings]
        if not any(one or two for one, two in own):
            return None
        both = torch.tensor(own, device=self.stack.device, dtype=self.stack.dtype)
        return both[:, :1, None].contiguous(), both[:, 1:, None].contiguous()

    def _penalise(self) -> None:
        weights, gradients = self.stack.weights.matrices, self.stack.gradients.matrices
        some = [at for at, found in enumerate(self._regularised) if found is not None]
        one = [self._regularised[at][0] for at in some]  # type: ignore[index]
        two = [self._regularised[at][1] for at in some]  # type: ignore[index]
        own, into = [weights[at] for at in some], [gradients[at] for at in some]
        torch._foreach_addcmul_(into, torch._foreach_sign(own), one)
        torch._foreach_addcmul_(into, own, two)

    def _at(self, step: int) -> list[_Part]:
        found: dict[str, list[tuple[int, slice]]] = {}
        for at, rows in enumerate(self._rows):
            for variant, part in self.layout.variants(step, rows):
                found.setdefault(variant, []).append((at, part))
        return [self._part(variant, own) for variant, own in found.items()]

    def _part(self, variant: str, own: list[tuple[int, slice]]) -> _Part:
        def views(weights: Weights) -> Tensors:
            return [weights.tensors[at][part].flatten(1) for at, part in own]

        device, dtype = self.stack.device, self.stack.dtype
        groups = [torch.tensor(self._rows[at][part], device=device) for at, part in own]
        columns = self._columns
        numbers = {
            "1 - beta1": 1.0 - columns["beta1"],
            "1 - beta2": 1.0 - columns["beta2"],
            "momentum": columns["momentum"],
            "rho": columns["rho"],
            "1 - rho": 1.0 - columns["rho"],
            "- rate": -columns["learning_rate"],
            "- rate * nesterov": -columns["learning_rate"] * columns["nesterov"],
            "- rate * carry": -columns["learning_rate"]
            * torch.where(columns["nesterov"] > 0, columns["momentum"], 1.0),
        }
        return _Part(
            variant,
            views(self.stack.weights),
            views(self.stack.gradients),
            [views(memory) for memory in self.memory[: _MEMORIES[variant]]],
            {name: [values[group].to(dtype)[:, None] for group in groups] for name, values in numbers.items()},
            groups,
        )

    def _adam(self, part: _Part, step: int, amsgrad: bool) -> None:
        mean, square = part.memories[:2]
        torch._foreach_lerp_(mean, part.gradients, part.numbers["1 - beta1"])
        torch._foreach_lerp_(square, torch._foreach_mul(part.gradients, part.gradients), part.numbers["1 - beta2"])
        if amsgrad:
            torch._foreach_maximum_(part.memories[2], square)
            square = part.memories[2]
        corrections = self._corrections[step]
        own: dict[int, tuple[Tensor, Tensor]] = {}
        for group in part.groups:
            if len(group) not in own:  # the groups of one length are the same: layers lose networks as they deepen
                own[len(group)] = corrections[0][group], corrections[1][group]
        rates, epsilons = zip(*(own[len(group)] for group in part.groups), strict=True)
        below = torch._foreach_sqrt(square)
        torch._foreach_add_(below, list(epsilons))
        torch._foreach_addcdiv_(part.weights, torch._foreach_mul(mean, list(rates)), below)

    def _sgd(self, part: _Part, step: int) -> None:
        (buffer,) = part.memories
        torch._foreach_mul_(buffer, part.numbers["momentum"])
        torch._foreach_add_(buffer, part.gradients)
        torch._foreach_addcmul_(part.weights, buffer, part.numbers["- rate * carry"])
        torch._foreach_addcmul_(part.weights, part.gradients, part.numbers["- rate * nesterov"])

    def _rmsprop(self, part: _Part, step: int, centered: bool) -> None:
        square, buffer = part.memories[:2]
        torch._foreach_mul_(square, part.numbers["rho"])
        torch._foreach_addcmul_(square, torch._foreach_mul(part.gradients, part.gradients), part.numbers["1 - rho"])
        below: tuple[Tensor, ...] | list[Tensor] = square
        if centered:
            mean = part.memories[2]
            torch._foreach_lerp_(mean, part.gradients, part.numbers["1 - rho"])
            below = torch._foreach_addcmul(square, mean, mean, value=-1.0)
        below = torch._foreach_sqrt(below)
        torch._foreach_add_(below, _EPSILON["rmsprop"])
        torch._foreach_mul_(buffer, part.numbers["momentum"])
        torch._foreach_addcdiv_(buffer, part.gradients, below)
        torch._foreach_addcmul_(part.weights, buffer, part.numbers["- rate"])

    def _adagrad(self, part: _Part, step: int) -> None:
        (total,) = part.memories
        torch._foreach_addcmul_(total, part.gradients, part.gradients)
        below = torch._foreach_sqrt(total)
        torch._foreach_add_(below, _EPSILON["adagrad"])
        torch._foreach_addcdiv_(part.weights, torch._foreach_mul(part.gradients, part.numbers["- rate"]), below)


_STEPS: dict[str, Callable[[Optimizers, _Part, int], None]] = {
    "adam": partial(Optimizers._adam, amsgrad=False),
    "amsgrad": partial(Optimizers._adam, amsgrad=True),
    "sgd": Optimizers._sgd,
    "rmsprop": partial(Optimizers._rmsprop, centered=False),
    "centered": partial(Optimizers._rmsprop, centered=True),
    "adagrad": Optimizers._adagrad,
}
