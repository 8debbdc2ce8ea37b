from __future__ import annotations

import pytest
import torch
from lively import TINY
from torch import nn

from easnn.analysis.energy import spike_driven
from easnn.models import SpikeMode, build_detector

BLANK = torch.zeros(1, 1, 3, 2, 32, 64)
"""A frame without events, with which hardly a neuron fires: values would tell nothing."""
SAMPLING = {
    "embedding.recurrence.input_conv.0",
    "embedding.recurrence.input_conv.2",
    "embedding.recurrence.gate_conv.2",
}


def analog(config) -> set[str]:
    """Return the convolutions that receive no spikes."""
    torch.manual_seed(0)
    model = build_detector(config).eval()
    convolutions = {name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    return convolutions - spike_driven(model, BLANK)


def of(names: set[str], *parts: str) -> set[str]:
    return {name for name in names if name.split(".")[0] in parts}


def test_everything_spikes_but_where_the_first_neurons_are() -> None:
    assert analog(TINY) == SAMPLING | {"backbone.stem.conv.conv", "backbone.dark2.0.conv"}
    assert analog(TINY.replace(stem="conv")) == SAMPLING | {"backbone.stem.conv"}


def test_neurons_in_the_branches_of_a_sampler_give_spikes() -> None:
    found = of(analog(TINY.replace(embedding_act="lif")), "embedding")
    assert found == {"embedding.recurrence.input_conv.0"}


@pytest.mark.parametrize(
    ("mode", "parts"),
    [
        (SpikeMode.FULL, ["head"]),
        (SpikeMode.BACKBONE, ["neck", "head"]),
        (SpikeMode.NONE, ["backbone", "neck", "head"]),
    ],
)
def test_means_over_time_are_no_spikes(mode: SpikeMode, parts: list[str]) -> None:
    everything = {
        name for name, m in build_detector(TINY).named_modules() if isinstance(m, nn.Conv2d)
    }
    assert of(analog(TINY.replace(use_spike=mode)), *parts) == of(everything, *parts)


def test_the_mean_of_a_single_step_is_spikes() -> None:
    found = analog(TINY.replace(use_spike=SpikeMode.FULL, T=1))
    assert of(found, "head") == {
        name
        for level in range(3)
        for name in (
            *(
                f"head.levels.{level}.{tower}_tower.{i}.conv"
                for tower in ("class", "box")
                for i in range(2)
            ),
            *(f"head.levels.{level}.{out}_out" for out in ("class", "box", "object")),
        )
    }


@pytest.mark.parametrize("embedding", ["count", "snn", "rsnn"])
def test_event_counts_are_no_spikes(embedding: str) -> None:
    found = of(
        analog(TINY.replace(embedding=embedding, embedding_depth=1)), "embedding", "backbone"
    )
    first = {
        "snn": {"embedding.recurrence.conv.0"},
        "rsnn": {"embedding.recurrence.input_conv.0"},
        "count": set(),
    }
    assert found == first[embedding] | {"backbone.stem.conv.conv", "backbone.dark2.0.conv"}


def test_a_sampler_that_never_fires_gives_no_spikes_to_the_stem() -> None:
    silent = TINY.replace(thresh=1e6, write_zero=True, abs=True)
    assert "backbone.stem.conv.conv" in analog(silent)


def test_only_what_a_spiking_memory_puts_out_are_spikes() -> None:
    memory = {
        kind: {name.split(".", 3)[-1] for name in found if name.startswith("memory")}
        for kind in ("lstm", "spiking")
        for found in [analog(TINY.replace(use_spike=SpikeMode.FULL, memory=kind))]
    }
    assert memory == {
        "lstm": {"cell.down", "cell.input_gates", "cell.state_gates", "up"},
        "spiking": {"cell.down.conv"},
    }
