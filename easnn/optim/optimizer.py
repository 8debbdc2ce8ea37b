"""The optimizer and its parameter groups."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

GROUPS = ("embedding", "batch_norm_weights", "weights", "biases", "neurons")
"""Parameter groups; ``weights`` have weight decay, ``embedding`` can have its own learning rate."""

OptimizerName = Literal["ADAM", "ADAMW", "SGD"]


def build_optimizer(
    model: nn.Module,
    *,
    name: OptimizerName,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    emb_lr: float = -1.0,
) -> torch.optim.Optimizer:
    """Build the optimizer of all trainable parameters of ``model``.

    Each parameter group has a ``name`` (one of :data:`GROUPS`) and an ``lr_scale``, the factor
    between the learning rate of the schedule and its own.

    Args:
        model: the detector, on its device; parameters with ``requires_grad`` False are skipped.
        name: ``ADAM``, ``ADAMW`` (Loshchilov and Hutter, "Decoupled Weight Decay Regularization",
            2019) or ``SGD`` (with Nesterov momentum).
        lr: the learning rate: ``basic_lr_per_img`` times the samples of a step.
        weight_decay: L2 penalty on the weights of convolutions and linear layers outside the
            embedding. With ``ADAMW`` it is no part of the gradient: each step multiplies these
            weights by 1 − lr·weight_decay.
        momentum: momentum of SGD.
        emb_lr: learning rate of the embedding; negative means ``lr``.

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
    # One kernel for all parameters, instead of several operations for each of them.
    match name:
        case "ADAM":
            return torch.optim.Adam(groups, lr=lr, fused=True)
        case "ADAMW":
            return torch.optim.AdamW(groups, lr=lr, fused=True)
        case "SGD":
            nesterov = momentum > 0
            return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)
    raise ValueError(f"`name` must be ADAM, ADAMW or SGD, but is {name}.")


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of each group to ``lr`` times its ``lr_scale``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def group_parameters(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Assign each trainable parameter of ``model`` to exactly one of :data:`GROUPS`.

    All parameters of ``model.embedding`` belong to ``embedding``. Elsewhere, ``bias`` belongs to
    ``biases`` and ``weight`` to ``batch_norm_weights`` in a batch norm and to ``weights`` in other
    layers. The rest, such as membrane time constants and surrogate slopes, belongs to ``neurons``.
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
    """Assert that no parameter is missing or, if two modules share it, listed twice."""
    times = Counter(id(parameter) for parameters in groups.values() for parameter in parameters)
    wrong = [
        name
        for name, parameter in model.named_parameters()
        if times[id(parameter)] != int(parameter.requires_grad)
    ]
    assert not wrong, (
        f"These parameters are not in exactly one optimizer group: {', '.join(wrong)}."
    )
