"""The optimiser and its parameter groups."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

GROUPS = ("embedding", "batch_norm_weights", "weights", "biases", "neurons")
"""The kinds of parameters; only ``weights`` decay, and only ``embedding`` can have its own learning rate."""

OptimizerName = Literal["ADAM", "SGD"]


def build_optimizer(
    model: nn.Module,
    *,
    name: OptimizerName,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    emb_lr: float = -1.0,
) -> torch.optim.Optimizer:
    """Build the optimiser over every trained parameter of ``model``.

    Each group has a ``name`` (one of :data:`GROUPS`) and an ``lr_scale``: its learning rate is the
    schedule's times that.

    Args:
        model: The detector, on its device; parameters that need no gradient are left out.
        name: ``ADAM`` or ``SGD`` (with Nesterov momentum).
        lr: The learning rate: ``basic_lr_per_img`` times the global batch size.
        weight_decay: L2 penalty on the weights of convolutions and linear layers outside the
            embedding.
        momentum: Momentum of SGD.
        emb_lr: Learning rate of the embedding; negative means ``lr``.

    Raises:
        ValueError: if the name is unknown.
    """
    groups = [
        {
            "name": group,
            "params": parameters,
            "lr_scale": emb_lr / lr if group == "embedding" and emb_lr >= 0 else 1.0,
            "weight_decay": weight_decay if group == "weights" else 0.0,
        }
        for group, parameters in group_parameters(model).items()
        if parameters
    ]
    match name:
        case "ADAM":
            return torch.optim.Adam(groups, lr=lr)
        case "SGD":
            return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0)
    raise ValueError(f"`name` must be ADAM or SGD, but is {name}.")


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give each group its learning rate: ``lr`` times the group's ``lr_scale``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def group_parameters(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Sort the trained parameters of ``model`` into :data:`GROUPS`; each is in exactly one.

    What lies in ``model.embedding`` is ``embedding``. Elsewhere a layer's ``bias`` and ``weight``
    are ``biases`` and ``weights`` (``batch_norm_weights`` in a batch norm), and everything else, a
    membrane's time constant or a surrogate's slope, is a parameter of a neuron.
    """
    groups: dict[str, list[nn.Parameter]] = {group: [] for group in GROUPS}
    for path, module in model.named_modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                groups[_group(path, module, leaf)].append(parameter)
    _check_partition(model, groups)
    return groups


def _group(path: str, module: nn.Module, leaf: str) -> str:
    if path.split(".", 1)[0] == "embedding":
        return "embedding"
    if leaf == "bias":
        return "biases"
    if leaf == "weight":
        return "batch_norm_weights" if isinstance(module, _BatchNorm) else "weights"
    return "neurons"


def _check_partition(model: nn.Module, groups: dict[str, list[Any]]) -> None:
    """Assert that no parameter is missing or, because two modules share it, listed twice."""
    times = Counter(id(parameter) for parameters in groups.values() for parameter in parameters)
    wrong = [
        name
        for name, parameter in model.named_parameters()
        if times[id(parameter)] != int(parameter.requires_grad)
    ]
    assert not wrong, (
        f"These parameters are not in exactly one group of the optimiser: {', '.join(wrong)}."
    )
