"""Windows of a recording one after another, with the memory of the network.

Embedding, backbone and feature pyramid compute frames in the fixed form of
:mod:`easnn.inference.forward`, several at a time. The memory and the head then go through them one
by one: the detections depend on the windows before, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from easnn.inference.forward import FixedForm
from easnn.models import Clips, EventDetector, MemoryState
from easnn.models.neck import Features
from easnn.utils.precision import Precision


@dataclass(frozen=True)
class Turn:
    """A window in its turn.

    Attributes:
        begins: whether the memory is empty before it.
        detects: whether its detections are wanted; otherwise it is only remembered.
    """

    begins: bool = False
    detects: bool = True


def detect_in_turn(
    model: EventDetector,
    run: FixedForm,
    precision: Precision,
    events: Tensor,
    turns: Sequence[Turn],
    state: MemoryState | None,
) -> tuple[list[Tensor], MemoryState | None]:
    """Detect objects in consecutive windows.

    Args:
        model: a detector with a memory.
        run: computes the parts before the memory, see :func:`~easnn.inference.forward.fixed_form`.
        precision: what memory and head compute in.
        events: the windows ``[n,Tl,Tm,C,h,w]``.
        turns: what each of them is.
        state: what is remembered of the windows before; None: nothing.

    Returns:
        The outputs of the network ``[A,5+classes]`` for each window whose detections are wanted,
        and the state after the last window.
    """
    assert model.memory is not None

    def pyramid(frames: Tensor) -> Features:
        return model.pyramid(model.embedding(frames))

    outputs = []
    computed = run(pyramid, events)
    with torch.inference_mode(), precision.autocast():
        for ((x3, x4, x5), at), turn in zip(computed, turns, strict=True):
            features = x3[at : at + 1], x4[at : at + 1], x5[at : at + 1]
            before = None if turn.begins else state
            if turn.detects:
                found, state = model.detect_features(features, Clips(1, before))
                assert isinstance(found, Tensor)  # without targets
                outputs.append(found[0])
            else:
                nothing = torch.zeros(0, dtype=torch.int64, device=events.device)
                _, state = model.memory(features, Clips(1, before, labelled=nothing))
    return outputs, state
