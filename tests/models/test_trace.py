from __future__ import annotations

import pytest
import torch

from easnn.models import DetectorConfig, SpikeMode
from easnn.models.embedding import build_embedding

CONFIG = DetectorConfig(
    embedding="arsnn", embedding_ksize=1, write_zero=True, use_spike=SpikeMode.FULL
)

# What charges channel 0 of the 2×2 pixels, newest slice first; nothing charges channel 1.
CURRENTS = torch.tensor(
    [
        [[0.75, 2.0], [0.25, 0.0]],
        [[0.75, 0.0], [0.0, 0.0]],
        [[0.75, 0.0], [0.0, 0.0]],
        [[0.75, 0.25], [0.5, 0.0]],
    ]
)


def traced(config, currents=CURRENTS):
    """Trace a membrane without decay that adds up the events; return channel 0, and all."""
    embedding = build_embedding(config)
    for parameter in embedding.parameters():
        torch.nn.init.zeros_(parameter)
    convolution = embedding.recurrence.input_conv[0]
    convolution.bias.data = torch.tensor([100.0, 100.0, 0.0, 0.0])
    convolution.weight.data[2:] = torch.eye(2)[:, :, None, None]
    events = torch.zeros(1, 1, len(currents), 2, 2, 2)
    events[0, 0, :, 0] = currents.flip(0)  # oldest first
    with torch.no_grad():
        trace, output = embedding.trace(events), embedding(events)
    assert torch.equal(trace.written, output)
    return trace.apply(lambda values: values[..., 0, 0, :, :]), trace


def test_one_segment():
    # The membranes: 0.75, 1.5 spike, 0.75, 1.5 spike | 2 spike, 0, 0, 0.25 | 0.25, 0.25, 0.25, 0.75
    # | 0
    trace, both = traced(CONFIG)
    assert trace.spikes.nonzero().tolist() == [[0, 0, 1], [1, 0, 0], [3, 0, 0]]
    assert trace.end_step.tolist() == [[[1, 0], [3, 3]]]
    assert trace.by_spike.tolist() == [[[True, True], [False, False]]]
    assert trace.span_steps.tolist() == [[[2, 1], [4, 4]]]
    assert trace.accumulated.tolist() == [[[2.25, 2.0], [1.5, 0.0]]]
    assert trace.value.tolist() == [[[2.25, 2.0], [1.5, 0.0]]]
    assert trace.surplus.tolist() == [[2.25, 0.25], [0.0, 0.0]]
    assert trace.residue.tolist() == [[[False, False], [True, True]]]
    assert trace.written.tolist() == [[[2.25, 2.0], [0.0, 0.0]]]
    assert trace.dropped.tolist() == [[[0.0, 0.0], [1.5, 0.0]]]
    assert (trace.adaptive, trace.drops_residue) == (True, True)
    assert both.spikes.shape == (4, 1, 2, 2, 2)
    assert both.end_step.shape == both.value.shape == (1, 1, 2, 2, 2)
    assert both.surplus.shape == (1, 2, 2, 2)
    assert not both.spikes[:, :, 1].any()


def test_the_residue_may_be_written():
    trace, _ = traced(CONFIG.replace(write_zero=False))
    assert trace.written.tolist() == [[[2.25, 2.0], [1.5, 0.0]]]
    assert not trace.dropped.any()
    assert not trace.drops_residue


def test_more_segments_than_a_pixel_has():
    trace, _ = traced(CONFIG.replace(Ts=3, T=3))
    assert trace.end_step.tolist() == [[[1, 0], [3, 3]], [[3, 3], [-1, -1]], [[-1, -1], [-1, -1]]]
    assert trace.by_spike[1].tolist() == [[True, False], [False, False]]
    assert trace.span_steps.tolist() == [[[2, 1], [4, 4]], [[2, 3], [0, 0]], [[0, 0], [0, 0]]]
    assert trace.accumulated[1].tolist() == [[2.25, 0.25], [0.0, 0.0]]
    assert trace.dropped.tolist() == [
        [[0.0, 0.0], [1.5, 0.0]],
        [[0.0, 0.25], [0.0, 0.0]],
        [[0.0, 0.0]] * 2,
    ]
    assert not trace.surplus.any()


@pytest.mark.parametrize(
    ("readout", "value"),
    [
        ("last", [[[1.5, 2.0], [0.75, 0.0]], [[1.5, 0.25], [0.0, 0.0]]]),
        ("avg", [[[1.125, 2.0], [0.375, 0.0]], [[1.125, 0.25 / 3], [0.0, 0.0]]]),
    ],
)
def test_the_value_of_a_segment_follows_the_readout(readout, value):
    trace, _ = traced(CONFIG.replace(Ts=2, T=2, readout=readout))
    torch.testing.assert_close(trace.value, torch.tensor(value))
    assert trace.accumulated.tolist() == [[[2.25, 2.0], [1.5, 0.0]], [[2.25, 0.25], [0.0, 0.0]]]


@pytest.mark.parametrize("spike_attach", [False, True])
@pytest.mark.parametrize("readout", ["sum", "last", "avg"])
@pytest.mark.parametrize(("Ts", "write_zero"), [(1, True), (2, False), (4, True)])
def test_the_parts_of_a_trace_are_the_output(readout, Ts, write_zero, spike_attach):
    config = CONFIG.replace(
        embedding_depth=2,
        embedding_ksize=3,
        Ts=Ts,
        T=Ts,
        readout=readout,
        write_zero=write_zero,
        spike_attach=spike_attach,
        thresh=0.4,
        abs=True,
    )
    embedding = build_embedding(config)
    events = torch.poisson(torch.full((2, 1, 4, 2, 8, 6), 0.7))
    with torch.no_grad():
        trace = embedding.trace(events)
        assert torch.equal(trace.written.relu(), embedding(events))
        torch.testing.assert_close(trace.written + trace.dropped, trace.value)
    assert torch.equal(trace.dropped != 0, trace.residue & (trace.value != 0) & write_zero)
    assert trace.by_spike.any()
    assert trace.residue.any()
    assert (trace.residue.sum(0) <= 1).all()
    spiked = trace.spikes.sum(0)
    assert torch.equal(trace.by_spike.sum(0), spiked.clamp_max(Ts))
    # Up to the last segment, every step is in one of them.
    open_to_the_end = spiked < Ts
    assert (trace.span_steps.sum(0)[open_to_the_end] == 4).all()


@pytest.mark.parametrize("norm", ["bn", None])
@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {
            "embedding": "arsnn",
            "Ts": Ts,
            "readout": readout,
            "spike_attach": attach,
            "write_zero": drop,
        }
        for Ts in (1, 4)
        for readout in ("sum", "last", "avg")
        for attach in (True, False)
        for drop in (True, False)
    ]
    + [
        {"embedding": embedding, "readout": readout}
        for embedding in ("rsnn", "snn")
        for readout in ("sum", "last")
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_the_output_of_a_trace_is_that_of_the_embedding(changes, rectify, norm):
    config = CONFIG.replace(write_zero=False, embedding_ksize=3, thresh=0.4, abs=rectify, norm=norm)
    embedding = build_embedding(config.replace(**changes))
    events = torch.poisson(torch.full((2, 1, 4, 2, 8, 6), 0.7))
    with torch.no_grad():
        embedding(events)  # gives the batch norm statistics
        embedding.eval()
        output, trace = embedding(events), embedding.trace(events)
    assert trace.spikes.any()
    assert trace.output.shape == (config.replace(**changes).Ts, 2, 2, 8, 6)
    assert torch.equal(trace.output, output if output.dim() == 5 else output[None])


@pytest.mark.parametrize("embedding", ["rsnn", "snn"])
@pytest.mark.parametrize("readout", ["sum", "last"])
def test_an_integral_is_one_residue_that_is_written(embedding, readout):
    embedding = build_embedding(
        DetectorConfig(embedding=embedding, embedding_ksize=3, readout=readout)
    )
    events = torch.poisson(torch.full((2, 1, 4, 2, 4, 6), 0.7))
    with torch.no_grad():
        trace = embedding.trace(events)
        assert torch.equal(trace.written[0], embedding(events))
    assert trace.spikes.shape == (4, 2, 2, 4, 6)
    assert trace.spikes.any()
    assert (trace.end_step == 3).all()
    assert (trace.span_steps == 4).all()
    assert trace.residue.all()
    assert not trace.adaptive
    assert torch.equal(trace.accumulated, trace.value) == (readout == "sum")


def test_a_count_has_no_trace():
    assert build_embedding(DetectorConfig()).trace(torch.zeros(1, 1, 4, 2, 2, 2)) is None
