"""Are two runs the same to the last bit?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from easnn.checkpoints import load_checkpoint
from easnn.engine import CHECKPOINTS, MEASURED, RunDirectory
from easnn.utils.errors import CheckpointError
from easnn.utils.files import name_of_unfinished, read_text


def differences(expected: Path, found: Path) -> list[str]:
    """Compare the files of two runs of the same command.

    Checkpoints (weights, moving average, optimizer, random numbers, position, best AP), results of
    evaluations, and metrics without those that are times or depend on the machine's load. Numbers
    are equal if their bits are: 0 differs from −0.

    Args:
        expected: directory of a run that nothing interrupted.
        found: directory of another one.

    Returns:
        A line for each file that is missing, additional or unfinished, and for each entry that
        differs; empty if the runs are the same.
    """
    lines = [
        f"{path.relative_to(found)} was left unfinished"
        for path in sorted(found.rglob(".*"))
        if name_of_unfinished(path.name) is not None
    ]
    names, others = _compared(expected), _compared(found)
    lines += [f"{name} is missing" for name in sorted(names - others)]
    lines += [f"{name} is there in addition" for name in sorted(others - names)]
    for name in sorted(names & others):
        lines += _file_differences(expected / name, found / name, name)
    return lines


def _compared(path: Path) -> set[str]:
    """Return the names of the files of a run that are compared."""
    run = RunDirectory(path)
    files = [*path.glob(CHECKPOINTS), *run.results.glob("*.json"), run.metrics]
    return {str(file.relative_to(path)) for file in files if file.is_file()}


def _file_differences(expected: Path, found: Path, name: str) -> list[str]:
    try:
        if expected.suffix == ".pth":
            return list(_tree(load_checkpoint(expected), load_checkpoint(found), name))
        if expected.suffix == ".json":
            return list(_tree(_json(expected), _json(found), name))
        return _metric_differences(expected, found, name)
    except (CheckpointError, ValueError) as error:
        return [f"{name} cannot be read: {error}"]


def _metric_differences(expected: Path, found: Path, name: str) -> list[str]:
    lines, others = _metric_lines(expected), _metric_lines(found)
    for number, (line, other) in enumerate(zip(lines, others, strict=False), start=1):
        if different := list(_tree(line, other, f"{name}, line {number}")):
            return different  # what follows is shifted, or follows from it
    if len(lines) != len(others):
        return [f"{name} has {len(others)} lines, not {len(lines)}"]
    return []


def _metric_lines(path: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, read_text(path).splitlines())
    return [{key: line[key] for key in line if key not in MEASURED} for line in lines]


def _json(path: Path) -> Any:
    return json.loads(read_text(path))


def _tree(expected: object, found: object, where: str) -> Iterator[str]:
    """Yield where two nested values differ."""
    if isinstance(expected, Tensor) and isinstance(found, Tensor):
        yield from _tensor_differences(expected, found, where)
    elif isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in {**expected, **found}:
            place = f"{where}: {key}" if where.endswith(".pth") else f"{where}.{key}"
            if key not in found:
                yield f"{place} is missing"
            elif key not in expected:
                yield f"{place} is there in addition"
            else:
                yield from _tree(expected[key], found[key], place)
    elif isinstance(expected, list | tuple) and type(expected) is type(found):
        assert isinstance(found, list | tuple)
        if len(expected) != len(found):
            yield f"{where} has {len(found)} entries, not {len(expected)}"
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _tree(one, other, f"{where}[{index}]")
    elif type(expected) is not type(found) or repr(expected) != repr(found):
        # The text of a number is that of its bits, except that every NaN is the same.
        yield f"{where} is {found!r}, not {expected!r}"


def _tensor_differences(expected: Tensor, found: Tensor, where: str) -> Iterator[str]:
    if (expected.dtype, expected.shape) != (found.dtype, found.shape):
        yield (
            f"{where} is {found.dtype} {list(found.shape)}, not {expected.dtype} "
            f"{list(expected.shape)}"
        )
        return
    unequal = int((_bytes(expected) != _bytes(found)).any(dim=1).sum())
    if unequal:
        largest = (expected.double() - found.double()).abs().max().item()
        yield (f"{where}: {unequal} of {expected.numel()} numbers differ, by up to {largest:.3g}")


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of each number, ``[N, size of a number]``."""
    flat = tensor.new_empty(tensor.numel()).copy_(tensor.reshape(-1))
    return flat.view(torch.uint8).reshape(tensor.numel(), tensor.element_size())
