from __future__ import annotations

import pytest

from easnn.models import DetectorConfig, SpikeMode
from easnn.utils.errors import ConfigError

MEMBRANE = {"use_spike": SpikeMode.FULL, "residual": "membrane"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "lstm"}, "`embedding` must be arsnn, rsnn, snn or count, but is 'lstm'."),
        ({"readout": "max"}, "`readout` must be sum, last or avg, but is 'max'."),
        ({"norm": "ln"}, "`norm` must be None or bn, but is 'ln'."),
        ({"abs": 1}, "`abs` must be False, True or split, but is 1."),
        (
            {"embedding_depth": 0},
            "`embedding_depth` must be a whole number ≥ 1 and ≤ 100, but is 0.",
        ),
        (
            {"embedding_ksize": 4},
            "`embedding_ksize` must be an odd number ≥ 1 and ≤ 101, but is 4.",
        ),
        ({"decay": 1.0}, "`decay` must be a number > 0 and < 1, but is 1.0."),
        ({"embedding": "rsnn", "Ts": 2}, "`Ts` must be 1 for the embedding `rsnn`, but is 2."),
        (
            {"embedding": "snn", "readout": "avg"},
            "`readout` must be sum or last for the embedding `snn`, but is avg.",
        ),
        ({"act": "gelu"}, "`act` must be silu, relu or lrelu, but is 'gelu'."),
        ({"spike_fn": "erf"}, "`spike_fn` must be atan, sigmoid, rect or patan, but is 'erf'."),
        ({"stem": "patch"}, "`stem` must be focus or conv, but is 'patch'."),
        ({"embedding_act": "plif"}, "`embedding_act` must be relu or lif, but is 'plif'."),
        (
            {"embedding_act": "lif", "embedding_depth": 2},
            "`embedding_act` must be relu for the embedding `count`, which has no convolutions, "
            "but is lif.",
        ),
        (
            {"embedding": "arsnn", "embedding_act": "lif"},
            "`embedding_depth` must be at least 2 for `embedding_act` lif, whose neurons are "
            "between two convolutions, but is 1.",
        ),
        ({"residual": "ms"}, "`residual` must be spikes or membrane, but is 'ms'."),
        (
            {"residual": "membrane"},
            "`residual` must be spikes for a detector that does not spike, because it has no "
            "membranes, but is membrane.",
        ),
        ({"backbone": "resnet"}, "`backbone` must be csp, mds or meta, but is 'resnet'."),
        (
            {"backbone": "mds", "residual": "membrane"},
            "`use_spike` must be True, full_spike or full_spike_v2 for the backbone `mds`, whose "
            "shortcuts need neurons, but is False.",
        ),
        (
            {"backbone": "meta", "use_spike": SpikeMode.FULL},
            "`residual` must be membrane for the backbone `meta`, whose shortcuts add what goes "
            "into neurons, but is spikes.",
        ),
        (
            {"backbone": "mds", **MEMBRANE, "depthwise": True},
            "`depthwise` must be False for the backbone `mds`, whose blocks say which convolutions "
            "are depthwise, but is True.",
        ),
        (
            {"backbone": "meta", **MEMBRANE, "stem": "conv"},
            "`stem` must be focus, the default, for the backbone `meta`, which has a stem of its "
            "own, but is conv.",
        ),
        ({"num_classes": 0}, "`num_classes` must be a whole number ≥ 1 and ≤ 100000, but is 0."),
        ({"width": 0.015}, "`width` must be at least 1/64, which is one channel, but is 0.015."),
        (
            {"embedding": "arsnn", "Ts": 2},
            "`Ts` must be 1 for a detector that does not spike, but is 2.",
        ),
        (
            {"embedding": "arsnn", "Ts": 2, "use_spike": SpikeMode.FULL, "T": 3},
            "`Ts` must be 1 or `T` (3), but is 2.",
        ),
        ({"neuron": "lif"}, "`neuron` must be plif or ilif, but is 'lif'."),
        ({"spike_levels": 0}, "`spike_levels` must be a whole number ≥ 1 and ≤ 255, but is 0."),
        (
            {"neuron": "ilif"},
            "`neuron` must be plif for a detector that does not spike, but is ilif.",
        ),
        (
            {"neuron": "ilif", "use_spike": SpikeMode.FULL, "spike_levels": 26},
            "`spike_levels` must be at most 25 with `depth` 1.0, where residuals are sums of the "
            "spikes of 10 layers and must not exceed 255, but is 26.",
        ),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError) as error:
        DetectorConfig(**settings)
    assert str(error.value) == message


def test_without_sums_integer_neurons_may_have_as_many_levels_as_a_byte():
    keys = {"neuron": "ilif", "use_spike": SpikeMode.FULL, "spike_levels": 255}
    assert DetectorConfig(residual="membrane", **keys).spike_levels == 255


def test_spike_modes_are_nested():
    parts = {mode.value: (mode.backbone, mode.neck, mode.head) for mode in SpikeMode}
    assert parts == {
        "False": (False, False, False),
        "True": (True, False, False),
        "full_spike": (True, True, False),
        "full_spike_v2": (True, True, True),
    }
