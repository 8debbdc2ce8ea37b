"""Our counts beside those of spikingjelly, layer by layer."""

from __future__ import annotations

import pytest
import torch
from lively import TINY, event_counts, lively_detector
from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter

from easnn.analysis import measure_energy
from easnn.models import SpikeMode


@pytest.mark.parametrize("mode", list(SpikeMode))
def test_both_agree_but_for_what_is_documented(mode: SpikeMode) -> None:
    # Without a sampler, whose packed kernels spikingjelly counts with the zeros in them.
    config = TINY.replace(use_spike=mode, embedding="count")
    events = event_counts() * 0.7
    model = lively_detector(config, events)
    theirs = SynOpCounter(), MACCounter()
    with torch.no_grad(), DispatchCounterMode(list(theirs)):
        model(events)
    arrivals, macs = (
        {scope: sum(of.values()) for scope, of in c.get_counts().items()} for c in theirs
    )

    kinds = set()
    for layer in measure_energy(model, [events]).layers:
        scope = f"EventDetector.{layer.name}"
        if not layer.spikes:
            kinds.add("analog")
            expected = 0, layer.padded  # padding is multiplied, too
        elif layer.input_most > 1:
            kinds.add("sums")
            expected = 0, layer.padded  # sums of spikes are taken for real numbers
        else:
            kinds.add("spikes")
            expected = layer.accumulates, 0
        assert (arrivals.get(scope, 0), macs.get(scope, 0)) == expected, layer.name
    assert kinds == ({"analog"} if mode is SpikeMode.NONE else {"analog", "sums", "spikes"})
