"""Parts of a model that are not trained."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from easnn.utils.errors import ConfigError


def freeze_parts(model: nn.Module, names: Sequence[str]) -> None:
    """Let the parameters of parts of ``model`` get no gradient; before its optimizer is built.

    :func:`~easnn.engine.step.train_mode` keeps their batch norms in evaluation mode.

    Args:
        model: the model.
        names: the key ``freeze``: names of modules, such as ``backbone`` or ``backbone.stem``.

    Raises:
        ConfigError: if a name is wrong, or no parameter is left to train.
    """
    parts = named_parts(model, names)
    for part in parts:
        part.requires_grad_(False)
    if parts and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            f"`freeze` must leave a part of the network to train, but is {','.join(names)}, which "
            "holds all parameters."
        )


def named_parts(model: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Return the parts of ``model`` with the given names.

    Raises:
        ConfigError: if a name is wrong, with the right ones.
    """
    return [_named_part(model, name) for name in names]


def _named_part(model: nn.Module, name: str) -> nn.Module:
    part, whole = model, "the network"
    for leaf in name.split("."):
        inner = dict(part.named_children())
        if leaf not in inner:
            raise ConfigError(
                f"`freeze` must name parts of the network, but {whole} has no part {leaf!r}. "
                f"{_listed(inner)}"
            )
        part, whole = inner[leaf], leaf if part is model else f"{whole}.{leaf}"
    return part


def _listed(parts: dict[str, nn.Module]) -> str:
    return f"Its parts are {', '.join(parts)}." if parts else "It has no parts."
