"""Gradients of single patients, exact.

While a :class:`PatientGradients` is attached, the parameters of a module count as constants for
autograd, so the gradient of the whole batch, which nobody needs, is not computed. Instead every
layer computes, from its input and the gradient of its output, one gradient a patient. The rows of
a patient lie next to each other and are summed within the product itself; gradients of rows are
never held.

Layers are called as modules, and know rows by the first dimension. What does not keep to that
gives wrong gradients, which are still bounded by clipping; :mod:`privacy.dp.preflight` compares
them with a loop over patients before a training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from privacy.dp.errors import DPInputError

__all__ = ["SUPPORTED", "PatientGradients", "owners"]

_Gradients = Iterator[tuple[nn.Parameter, Tensor]]


def owners(module: nn.Module) -> Iterator[tuple[str, nn.Module, list[nn.Parameter]]]:
    """Layers with trainable parameters of their own: name, layer, parameters."""
    for name, layer in module.named_modules():
        own = [p for p in layer.parameters(recurse=False) if p.requires_grad]
        if own:
            yield name, layer, own


class PatientGradients:
    """Collects gradients by patient of the trainable parameters of a module.

    Args:
        module: Its parameters that require a gradient now are the trainable ones; until
            :meth:`detach` they require none.
        rows: Rows a patient: a batch of n patients has ``n * rows`` rows, those of a patient
            together.

    Raises:
        DPInputError: A trainable parameter belongs to a layer of an unsupported kind.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> gradients = PatientGradients(layer, rows=2)
        >>> layer(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 0.0]])).sum().backward()
        >>> [value.tolist() for value in gradients.take().values()]
        [[[[2.0, 0.0]], [[0.0, 3.0]]]]
        >>> gradients.detach()
    """

    def __init__(self, module: nn.Module, rows: int) -> None:
        if rows < 1:
            raise DPInputError(f"rows={rows!r}: a patient has at least one row.")
        layers = list(owners(module))
        unknown = [
            f"{name or 'the module itself'}: {type(layer).__name__}"
            for name, layer, _ in layers
            if type(layer) not in SUPPORTED
        ]
        if unknown:
            raise DPInputError(
                "Trainable parameters belong to layers whose gradients by patient are not known. "
                f"Freeze them, or build them of {', '.join(kind.__name__ for kind in SUPPORTED)}.",
                unknown,
            )
        self.rows = rows
        self.parameters = list(dict.fromkeys(p for _, _, own in layers for p in own))
        self._found: dict[nn.Parameter, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        for _, layer, own in layers:
            self._handles.append(layer.register_forward_hook(self._watch(frozenset(own))))
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def take(self) -> Mapping[nn.Parameter, Tensor]:
        """Hand over what was collected since: by parameter, one of its shape a patient."""
        found, self._found = self._found, {}
        return found

    def detach(self) -> None:
        """Leave the module as it was."""
        for handle in self._handles:
            handle.remove()
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self._found = {}

    def _watch(self, own: frozenset[nn.Parameter]) -> Callable[[Any, Any, Any], Tensor | None]:
        def after(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if not torch.is_grad_enabled():
                return None
            (given,) = inputs
            given = given.detach()

            def on_gradient(gradient: Tensor) -> None:
                for parameter, value in SUPPORTED[type(layer)](layer, given, gradient, self.rows):
                    if parameter in own:
                        before = self._found.get(parameter)
                        self._found[parameter] = value if before is None else before + value

            if output.requires_grad:
                output.register_hook(on_gradient)  # type: ignore[no-untyped-call]
                return None
            # Nothing before this layer asks for a gradient: the graph starts here.
            output.requires_grad_(True)
            output.register_hook(on_gradient)  # type: ignore[no-untyped-call]
            return output.clone()  # no leaf, so that what follows may work in place

        return after


def _patients(values: Tensor, rows: int) -> Tensor:
    """``(n * rows, ...)`` as ``(n, rows, ...)``."""
    return values.reshape(-1, rows, *values.shape[1:])


def _convolution(layer: Any, given: Tensor, gradient: Tensor, rows: int) -> _Gradients:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise DPInputError(f"Padding {layer.padding_mode!r}, {layer.padding!r} is not supported.")
    # One call a patient: the kernel sums over the patient's rows, and reads any memory layout.
    values = [
        torch.ops.aten.convolution_backward(
            part, row, layer.weight, None, layer.stride, layer.padding, layer.dilation,
            False, [0, 0], layer.groups, [False, True, False],
        )[1]
        for row, part in zip(torch.split(given, rows), torch.split(gradient, rows), strict=True)
    ]  # fmt: skip
    yield layer.weight, torch.stack(values)
    if layer.bias is not None:
        yield layer.bias, _patients(gradient.sum((2, 3)), rows).sum(1)


def _linear(layer: Any, given: Tensor, gradient: Tensor, rows: int) -> _Gradients:
    given, gradient = (
        _patients(one, rows).flatten(1, -2) for one in (given, gradient)
    )  # (patients, rows and places, channels)
    yield layer.weight, torch.einsum("nro,nri->noi", gradient, given)
    if layer.bias is not None:
        yield layer.bias, gradient.sum(1)


def _group_norm(layer: Any, given: Tensor, gradient: Tensor, rows: int) -> _Gradients:
    normal = F.group_norm(given, layer.num_groups, eps=layer.eps)
    for parameter, values in ((layer.weight, gradient * normal), (layer.bias, gradient)):
        if parameter is not None:
            yield parameter, _patients(values.flatten(2).sum(2), rows).sum(1)


def _layer_norm(layer: Any, given: Tensor, gradient: Tensor, rows: int) -> _Gradients:
    normal = F.layer_norm(given, layer.normalized_shape, eps=layer.eps)
    kept = len(layer.normalized_shape)
    for parameter, values in ((layer.weight, gradient * normal), (layer.bias, gradient)):
        if parameter is not None:
            places = _patients(values, rows).flatten(1, -1 - kept)
            yield parameter, places.sum(1)


def _embedding(layer: Any, given: Tensor, gradient: Tensor, rows: int) -> _Gradients:
    if layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse:
        raise DPInputError("An embedding with max_norm, scale_grad_by_freq or sparse mixes rows.")
    places = _patients(given, rows).flatten(1)
    values = _patients(gradient, rows).flatten(1, -2)
    found = values.new_zeros(len(places), *layer.weight.shape)
    index = places.unsqueeze(-1).expand_as(values)
    found.scatter_add_(1, index, values)
    if layer.padding_idx is not None:
        found[:, layer.padding_idx] = 0
    yield layer.weight, found


#: Layers whose gradients by patient are known, and how to compute them.
SUPPORTED: Final[dict[type[nn.Module], Callable[[Any, Tensor, Tensor, int], _Gradients]]] = {
    nn.Conv2d: _convolution,
    nn.Linear: _linear,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
}
