from __future__ import annotations

import pytest

from easnn.models import DetectorConfig, EmbeddingConfig, SpikeMode
from easnn.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "lstm"}, "`kind` must be one of arsnn, rsnn, snn, count, but is lstm."),
        ({"readout": "max"}, "`readout` must be one of sum, last, avg, but is max."),
        ({"norm": "ln"}, "`norm` must be one of bn, None, but is ln."),
        ({"depth": 0}, "`depth` must be positive, but is 0."),
        ({"kernel_size": 4}, "`kernel_size` must be odd, but is 4."),
        ({"decay": 1.0}, "`decay` must lie between 0 and 1, but is 1.0."),
        ({"kind": "arsnn", "Tm": 2, "Ts": 3}, "`Ts` must be at most `Tm` (2), but is 3."),
        ({"kind": "rsnn", "Ts": 2}, "`Ts` must be 1 for the embedding `rsnn`, but is 2."),
        (
            {"kind": "snn", "readout": "avg"},
            "`readout` must be sum or last for the embedding `snn`, but is avg.",
        ),
    ],
)
def test_embedding_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError) as error:
        EmbeddingConfig(**settings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"act": "gelu"}, "`act` must be one of silu, relu, lrelu, but is gelu."),
        ({"surrogate": "erf"}, "`surrogate` must be one of atan, sigmoid, rect, patan, but is erf."),
        ({"stem": "patch"}, "`stem` must be one of focus, conv, but is patch."),
        ({"num_classes": 0}, "`num_classes` must be positive, but is 0."),
        ({"width": 0.015}, "`width` must be at least 1/64, which is one channel, but is 0.015."),
        ({}, "`Ts` must be 1 for a detector that does not spike, but is 2."),
        ({"spike_mode": SpikeMode.FULL, "T": 3}, "`Ts` must be 1 or `T` (3), but is 2."),
    ],
)
def test_detector_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError) as error:
        DetectorConfig(**{"num_classes": 2, "embedding": EmbeddingConfig(kind="arsnn", Ts=2)} | settings)
    assert str(error.value) == message


def test_spike_modes_are_nested():
    parts = {mode.value: (mode.backbone, mode.neck, mode.head) for mode in SpikeMode}
    assert parts == {
        "False": (False, False, False),
        "True": (True, False, False),
        "full_spike": (True, True, False),
        "full_spike_v2": (True, True, True),
    }
