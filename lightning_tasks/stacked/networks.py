"""A stack computes N networks of one padded shape at once: every product is one batch of N products.

Layer l of network i is z = h W_i + b_i; then batch norm, activation and dropout, as in a plain network. Gradients are
written out: autograd costs more than the products of small networks, and the order of the operations is ours, so that
the numbers of a network do not depend on the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_tasks.stacked import forms
from lightning_tasks.stacked.layout import Layer, Layout, places

# Batch norm, as torch's defaults.
_EPSILON, _MOMENTUM = 1e-5, 0.1


def _moved(values: Tensor, places: Tensor | None) -> Tensor:
    return values if places is None else values.index_select(0, places)


class Places:
    """The tensors of indices that move values between the orders of a layout."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        def found(wanted: list[int], having: list[int]) -> Tensor | None:
            return places(wanted, having, device)

        everyone = list(range(layout.size))
        before = [everyone, *(layer.values for layer in layout.layers)]
        self.inputs = [found(layer.rows, last) for layer, last in zip(layout.layers, before, strict=False)]
        self.values = [found(layer.values, layer.rows) for layer in layout.layers]
        self.weights = [found(layer.rows, layer.values) for layer in layout.layers]
        self.members = [found(layer.rows, everyone) for layer in layout.layers]
        self.by_loss = found(layout.by_loss, everyone)
        self.from_loss = found(everyone, layout.by_loss)
        # The last values of each network, found among those of all layers, and the way back.
        ends = [(level, index) for level, layer in enumerate(layout.layers) for index in layer.values]
        at = {end: place for place, end in enumerate(ends)}
        last = [at[layout.members[index].form.depth - 1, index] for index in everyone]
        top = layout.layers[-1]
        self.same_depth = len(top.rows) == layout.size
        self.last = found(everyone, top.values) if self.same_depth else _tensor(last, device)
        self.back: list[Tensor | None] = []
        for level, layer in enumerate(layout.layers):
            above = layout.layers[level + 1].rows if level + 1 < layout.depth else []
            candidates = [*above, *everyone]
            where = {index: len(above) + index for index in everyone} | {index: at for at, index in enumerate(above)}
            wanted = [where[index] for index in layer.values]
            only_above = len(above) == len(layer.rows) or not above
            identity = only_above and wanted == list(range(len(candidates) if not above else len(above)))
            self.back.append(None if identity else _tensor(wanted, device))


def _tensor(values: list[int], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)


class Weights:
    """The parameters of a stack, or something of their shape: gradients, or the memory of the optimisers.

    Attributes
    ----------
    first : (N, inputs, width)
    hidden : list of (n_l, width, width)
        Of each further hidden layer.
    last : (N, width, outputs)
    vectors : (N, size)
        Biases, then scales and shifts of the batch norms if a network of the stack has some.
    matrices, tensors : list of Tensor
        The weights layer by layer; and all of them, the vectors last.
    """

    def __init__(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        n, width, depth = layout.size, layout.width, layout.depth
        self.first = zeros(n, layout.inputs, width)
        self.hidden = [zeros(len(layer.rows), width, width) for layer in layout.layers[1:]]
        self.last = zeros(n, width, layout.outputs)
        self.vectors = zeros(n, depth * width * (3 if layout.normed else 1) + layout.outputs)
        self.matrices = [self.first, *self.hidden, self.last]
        self.tensors = [*self.matrices, self.vectors]
        self._width, self._depth, self._outputs = width, depth, layout.outputs

    def bias(self, level: int) -> Tensor:
        """The biases of a hidden layer for all networks, (N, width); of the outputs if there is no such layer."""
        start = level * self._width
        return self.vectors[:, start : start + (self._width if level < self._depth else self._outputs)]

    def norm(self, level: int, shift: bool) -> Tensor:
        """The scales or shifts of the batch norm after a hidden layer for all networks, (N, width)."""
        start = (self._depth * (2 if shift else 1) + level) * self._width + self._outputs
        return self.vectors[:, start : start + self._width]

    def take(self, other: Weights, layout: Layout, before: Layout, kept: list[int]) -> None:
        """Copy the `kept` networks of another stack, whose layout was `before`."""
        self.first.copy_(other.first[kept])
        self.last.copy_(other.last[kept])
        new = {network: place for place, network in enumerate(kept)}
        for own, theirs, layer in zip(self.hidden, other.hidden, before.layers[1:], strict=False):
            own.copy_(theirs[[place for place, network in enumerate(layer.rows) if network in new]])
        for level in range(layout.depth):
            self.bias(level).copy_(other.bias(level)[kept])
            if layout.normed:
                self.norm(level, shift=False).copy_(other.norm(level, shift=False)[kept])
                self.norm(level, shift=True).copy_(other.norm(level, shift=True)[kept])
        self.bias(layout.depth).copy_(other.bias(before.depth)[kept])


@dataclass(frozen=True)
class NormBatch:
    """A batch as the batch norms of a layer see it.

    Attributes
    ----------
    samples : (n, rows, 1) or None
        1 for a sample, 0 for padding; None if there is no padding.
    share : (n, 1, 1)
        One over the number of samples; 0 for a network that does not take this step.
    unbiased : (n, 1, 1)
        One over the number of samples less one.
    momentum : (n, 1, 1)
        The share of this batch in the running means.
    """

    samples: Tensor | None
    share: Tensor
    unbiased: Tensor
    momentum: Tensor

    @staticmethod
    def of(sizes: Tensor, rows: int, device: torch.device, dtype: torch.dtype) -> NormBatch:
        """The batch of networks with `sizes` (n,) samples each, 0 for those that do not take the step."""
        samples = (torch.arange(rows) < sizes[:, None])[..., None]
        share = torch.where(sizes > 0, 1.0 / sizes.double(), 0.0)
        unbiased = torch.where(sizes > 1, 1.0 / (sizes.double() - 1.0), 0.0)
        columns = (share, unbiased, (sizes > 0).double() * _MOMENTUM)
        return NormBatch(
            None if bool((sizes == rows).all()) else samples.to(device, dtype),
            *(column[:, None, None].to(device, dtype) for column in columns),
        )


class Room:
    """The memory for the values of a layer, and its parts, so that a step does not cut them anew.

    Attributes
    ----------
    z, h, g, d : (n_l, rows, width)
        Before and after the activation; the gradients of h and of z.
    """

    def __init__(self, stack: Stack, layer: Layer, rows: int) -> None:
        def room() -> Tensor:
            return torch.empty(len(layer.rows), rows, stack.layout.width, device=stack.device, dtype=stack.dtype)

        self.z, self.h, self.g, self.d = room(), room(), room(), room()
        self.normed, self.through_norm = self.z[: layer.norms], self.d[: layer.norms]
        parts = [each.split(layer.sizes) for each in (self.z, self.h, self.g, self.d)]
        self.befores, self.afters, self.gradients, self.results = parts


class Stack:
    """The networks of a layout, with their gradients.

    Parameters
    ----------
    layout
        The places of the networks.
    device, dtype
        Where and in which precision they are.
    """

    def __init__(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> None:
        self.layout, self.device, self.dtype = layout, device, dtype
        self.weights, self.gradients = Weights(layout, device, dtype), Weights(layout, device, dtype)
        self.places = Places(layout, device)
        self.running = [
            torch.zeros(2, layer.norms, 1, layout.width, device=device, dtype=dtype) for layer in layout.layers
        ]
        everyone = list(range(layout.size))
        self._norm_rows = [places(layer.values[: layer.norms], everyone, device) for layer in layout.layers]
        self._room = [Room(self, layer, layout.batch_rows) for layer in layout.layers]
        self._units = [self._sigmoid_masks(level) for level in range(layout.depth)]
        self._views()

    def _views(self) -> None:
        depth = self.layout.depth
        self._bias = [self.weights.bias(level) for level in range(depth + 1)]
        self._bias_gradients = [self.gradients.bias(level) for level in range(depth + 1)]
        if self.layout.normed:
            self._scale = [self.weights.norm(level, shift=False) for level in range(depth)]
            self._shift = [self.weights.norm(level, shift=True) for level in range(depth)]
            self._scale_gradients = [self.gradients.norm(level, shift=False) for level in range(depth)]
            self._shift_gradients = [self.gradients.norm(level, shift=True) for level in range(depth)]

    def _sigmoid_masks(self, level: int) -> list[Tensor | None]:
        """For each activation of a layer: which units of the sigmoid networks exist, as their sigmoid(0) is no 0."""
        layer, width = self.layout.layers[level], self.layout.width
        masks: list[Tensor | None] = []
        for name, part in layer.parts:
            widths = [self.layout.members[index].form.width for index in layer.values[part]]
            units = torch.arange(width) < torch.tensor(widths)[:, None]
            needed = name == "sigmoid" and min(widths) < width
            masks.append(units[:, None].to(self.device, self.dtype) if needed else None)
        return masks

    def fill(self) -> None:
        """Copy the initial weights of the networks."""
        for index, member in enumerate(self.layout.members):
            linear = [layer for layer in member.net if isinstance(layer, nn.Linear)]
            norms = [layer for layer in member.net if isinstance(layer, nn.BatchNorm1d)]
            member.net.to(self.dtype)
            for level, layer in enumerate(linear):
                outputs, inputs = layer.weight.shape
                self._matrix(level, index)[:inputs, :outputs] = layer.weight.detach().T
                self._bias[level if level < len(linear) - 1 else -1][index, :outputs] = layer.bias.detach()
            for level, norm in enumerate(norms):
                self._scale[level][index, : member.form.width] = norm.weight.detach()
                self._shift[level][index, : member.form.width] = norm.bias.detach()
                self._run(level, index)[:, : member.form.width] = _running(norm)

    def unload(self, index: int, steps: int) -> None:
        """Copy the weights of a network into its plain one, after so many steps."""
        member = self.layout.members[index]
        linear = [layer for layer in member.net if isinstance(layer, nn.Linear)]
        norms = [layer for layer in member.net if isinstance(layer, nn.BatchNorm1d)]
        with torch.no_grad():
            for level, layer in enumerate(linear):
                outputs, inputs = layer.weight.shape
                layer.weight.copy_(self._matrix(level, index)[:inputs, :outputs].T)
                layer.bias.copy_(self._bias[level if level < len(linear) - 1 else -1][index, :outputs])
            for level, norm in enumerate(norms):
                norm.weight.copy_(self._scale[level][index, : member.form.width])
                norm.bias.copy_(self._shift[level][index, : member.form.width])
                mean, variance = self._run(level, index)[:, : member.form.width]
                norm.running_mean.copy_(mean)  # type: ignore[union-attr]
                norm.running_var.copy_(variance)  # type: ignore[union-attr]
                norm.num_batches_tracked.fill_(steps)  # type: ignore[union-attr]

    def take(self, other: Stack, kept: list[int]) -> None:
        """Copy the `kept` networks of another stack."""
        self.weights.take(other.weights, self.layout, other.layout, kept)
        for own, theirs, layer, before in zip(
            self.running, other.running, self.layout.layers, other.layout.layers, strict=False
        ):
            at = [before.values.index(kept[network]) for network in layer.values[: layer.norms]]
            own.copy_(theirs[:, at])

    def _matrix(self, level: int, index: int) -> Tensor:
        """The weights of a network after `level` hidden layers."""
        if level == self.layout.members[index].form.depth:
            return self.weights.last[index]
        return self.weights.matrices[level][self.layout.layers[level].rows.index(index)]

    def _run(self, level: int, index: int) -> Tensor:
        """The running mean and variance of a network after a hidden layer, (2, width)."""
        return self.running[level][:, self.layout.layers[level].values.index(index), 0]

    def forward(self, x: Tensor, batch: list[NormBatch] | None, dropout: list[Tensor | None] | None) -> Tensor:
        """The outputs in the order of the losses, (N, rows, outputs).

        Parameters
        ----------
        x : (N, rows, inputs)
        batch : list of NormBatch or None
            The samples of the networks with a batch norm, layer by layer. None uses the running means.
        dropout : list of (n_l, rows, width) or None
            Factors of the values of each layer.
        """
        layout, to = self.layout, self.places
        room = self._room if batch is not None else [Room(self, layer, x.shape[1]) for layer in layout.layers]
        self._inputs: list[Tensor] = []
        self._norms: list[tuple[Tensor, Tensor]] = []
        self._batch, self._dropout = batch, dropout
        h, ends = x, []
        for level, (layer, own) in enumerate(zip(layout.layers, room, strict=True)):
            inputs = _moved(h, to.inputs[level])
            self._inputs.append(inputs)
            bias, weights = _moved(self._bias[level], to.members[level])[:, None], self.weights.matrices[level]
            order = to.values[level]
            if order is None:
                torch.baddbmm(bias, inputs, weights, out=own.z)
            else:
                torch.index_select(torch.baddbmm(bias, inputs, weights), 0, order, out=own.z)
            if layer.norms:
                self._normalise(level, own.normed, None if batch is None else batch[level])
            for name, mask, before, after in zip(layer.names, self._units[level], own.befores, own.afters, strict=True):
                forms.FORWARD[name](before, after)
                if mask is not None:
                    after.mul_(mask)
            factors = None if dropout is None else dropout[level]
            h = own.h if factors is None else own.h * factors
            ends.append(h)
        self._last = _moved(h if to.same_depth else torch.cat(ends), to.last)
        return _moved(torch.baddbmm(self._bias[-1][:, None], self._last, self.weights.last), to.by_loss)

    def backward(self, gradient: Tensor) -> None:
        """Write the gradients of all parameters, from that of the outputs of the last step of the training."""
        layout, to, own = self.layout, self.places, self.gradients
        d = _moved(gradient, to.from_loss)
        torch.bmm(self._last.transpose(1, 2), d, out=own.last)
        self._bias_gradients[-1].copy_(d.sum(1))
        above: Tensor | None = None
        end = _product(d, self.weights.last, self._room[-1].g if to.back[-1] is None else None)
        for level in reversed(range(layout.depth)):
            layer, room, order = layout.layers[level], self._room[level], to.back[level]
            if level + 1 < layout.depth:
                above = _product(d, self.weights.matrices[level + 1], room.g if order is None else None)
            if order is not None:
                source = end if above is None else above
                if above is not None and len(above) < len(layer.rows):
                    source = torch.cat((above, end))
                torch.index_select(source, 0, order, out=room.g)
            factors = None if self._dropout is None else self._dropout[level]
            if factors is not None:
                room.g.mul_(factors)
            for name, *slices in zip(layer.names, room.gradients, room.befores, room.afters, room.results, strict=True):
                forms.BACKWARD[name](*slices)
            if layer.norms and self._batch is not None:
                self._through_norm(level, room.through_norm, self._batch[level])
            d = _moved(room.d, to.weights[level])
            torch.bmm(self._inputs[level].transpose(1, 2), d, out=own.matrices[level])
            _write(self._bias_gradients[level], d.sum(1), to.members[level])

    def _normalise(self, level: int, z: Tensor, batch: NormBatch | None) -> None:
        """Batch norm in place: z becomes scale * (z - mean) / deviation + shift."""
        rows = self._norm_rows[level]
        scale, shift = _moved(self._scale[level], rows)[:, None], _moved(self._shift[level], rows)[:, None]
        if batch is None:
            mean, variance = self.running[level]
            torch.addcmul(shift, (z - mean) * (variance + _EPSILON).rsqrt(), scale, out=z)
            return
        samples = batch.samples
        mean = (z if samples is None else z * samples).sum(1, keepdim=True).mul_(batch.share)
        normed = z - mean
        if samples is not None:
            normed.mul_(samples)
        squares = (normed * normed).sum(1, keepdim=True)
        deviation = (squares * batch.share).add_(_EPSILON).rsqrt_()
        normed.mul_(deviation)
        self.running[level][0].lerp_(mean, batch.momentum)
        self.running[level][1].lerp_(squares.mul_(batch.unbiased), batch.momentum)
        torch.addcmul(shift, normed, scale, out=z)
        self._norms.append((normed, deviation.mul_(scale)))

    def _through_norm(self, level: int, d: Tensor, batch: NormBatch) -> None:
        """The gradient of what the batch norm got, in place, and those of its scale and shift."""
        normed, factor = self._norms.pop()
        total, product = d.sum(1, keepdim=True), (d * normed).sum(1, keepdim=True)
        rows = self._norm_rows[level]
        _write(self._shift_gradients[level], total[:, 0], rows)
        _write(self._scale_gradients[level], product[:, 0], rows)
        d.addcmul_(total, batch.share, value=-1.0).addcmul_(normed, product.mul_(batch.share), value=-1.0)
        if batch.samples is not None:
            d.mul_(batch.samples)
        d.mul_(factor)


def _product(d: Tensor, weights: Tensor, out: Tensor | None) -> Tensor:
    """The gradient of what a layer got, written into `out` if it is given."""
    return torch.bmm(d, weights.transpose(1, 2)) if out is None else torch.bmm(d, weights.transpose(1, 2), out=out)


def _write(target: Tensor, values: Tensor, places: Tensor | None) -> None:
    if places is None:
        target.copy_(values)
    else:
        target.index_copy_(0, places, values)


def _running(norm: nn.BatchNorm1d) -> Tensor:
    return torch.stack((norm.running_mean, norm.running_var))  # type: ignore[arg-type]
