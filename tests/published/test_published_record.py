"""Which keys the weights of a published checkpoint tell, and which have to be given."""

from __future__ import annotations

from pathlib import Path

import pytest

from easnn.exp import EventExp, get_exp
from easnn.models import DetectorConfig, SpikeMode
from easnn.published import PublishedRecord
from easnn.utils.errors import CheckpointError

CKPT = Path("runs/a/ckpt.pth")
GEN1 = DetectorConfig(
    num_classes=2,
    depth=0.67,
    width=0.75,
    use_spike=SpikeMode.FULL,
    embedding="arsnn",
    embedding_depth=2,
    embedding_ksize=5,
)
PUBLISHED_EVALUATION = (
    "data_num_workers 4 embedding arsnn seed 80 data_name gen1 data_dir DIR num_classes 2 Tm 4 T 3 "
    "spike_attach True thresh 1 readout sum embedding_depth 2 embedding_ksize 5 write_zero True "
    "use_spike full_spike spike_fn atan test_conf 0.001 eval_proph True"
)


def complete(config: DetectorConfig, words: str, name: str | None = None) -> EventExp:
    exp = get_exp(exp_name=name) if name else EventExp()
    exp.merge(words.split())
    PublishedRecord(config).complete(exp, CKPT)
    return exp


def error_of(config: DetectorConfig, words: str, name: str | None = None) -> str:
    with pytest.raises(CheckpointError) as error:
        complete(config, words, name)
    return str(error.value)


def test_the_published_command_of_an_evaluation() -> None:
    exp = complete(GEN1, PUBLISHED_EVALUATION, "e-yolox-m")
    exp.validate()
    wanted = get_exp(exp_name="e-yolox-m")
    wanted.merge(PUBLISHED_EVALUATION.split())
    assert exp.plain() == wanted.plain()


def test_the_table_names_what_was_not_given() -> None:
    exp = get_exp(exp_name="e-yolox-m")
    exp.merge(PUBLISHED_EVALUATION.replace("num_classes 2", "reset None window -50").split())
    assert PublishedRecord(GEN1).complete(exp, CKPT) == (
        "key          value      from\n"
        "-----------  ---------  -----------\n"
        "num_classes  2          the weights\n"
        "stem         focus      the weights\n"
        "depthwise    False      the weights\n"
        "norm         None       the weights\n"
        "act          silu       its default\n"
        "Ts           1          its default\n"
        "abs          False      its default\n"
        "Tl           1          its default\n"
        "aggregation  micro_sum  its default\n"
        "slicing      extent     its default\n"
        "measure      count      its default\n"
        "test_size    640,640    its default"
    )


@pytest.mark.parametrize(
    ("changes", "words", "asked"),
    [
        ({}, "", "data_name gen1 Tm 4 T 3 thresh 1 readout sum write_zero True"),
        ({}, "data_name synthetic T 3", "Tm 4 thresh 1 readout sum write_zero True"),
        (
            {"num_classes": 3},
            "T 3",
            "data_name gen4 Tl 4 Tm 4 aggregation event_sum thresh 1 readout sum write_zero True",
        ),
        # The default dataset has 100 classes, so it needs no name.
        ({"num_classes": 100}, "", "Tm 4 window 0 T 3 thresh 1 readout sum write_zero True"),
        (
            {"use_spike": SpikeMode.NONE},
            "data_name gen1 Tm 4",
            "thresh 1 readout sum write_zero True",
        ),
        ({"embedding": "rsnn"}, "data_name gen1", "Tm 4 T 3 thresh 1 readout sum"),
        ({"embedding": "count"}, "data_name gen1", "Tm 4 T 3"),
    ],
)
def test_what_is_asked_for(changes: dict[str, object], words: str, asked: str) -> None:
    message = error_of(GEN1.replace(**changes), words)
    assert message.endswith(f" have `{asked}`.")


def test_another_depth_and_width_that_mean_the_same() -> None:
    exp = complete(GEN1, f"{PUBLISHED_EVALUATION} depth 0.6 width 0.76")
    assert (exp.depth, exp.width) == (0.6, 0.76)


def test_a_learned_slope_is_told_and_a_fixed_surrogate_is_not() -> None:
    words = PUBLISHED_EVALUATION.replace("spike_fn atan", "")
    learned = GEN1.replace(spike_fn="patan")
    assert complete(learned, words).spike_fn == "patan"
    assert complete(GEN1, f"{words} spike_fn sigmoid").spike_fn == "sigmoid"
    assert error_of(learned, PUBLISHED_EVALUATION).startswith(
        f"The weights of {CKPT} need `spike_fn` patan, not atan. "
    )
    assert error_of(GEN1, f"{words} spike_fn patan").startswith(
        f"The weights of {CKPT} need `spike_fn` atan, not patan. "
    )


@pytest.mark.parametrize(
    ("channels", "aggregation"), [(1, "voxel_grid"), (2, "micro_sum"), (4, "voxel_cube")]
)
def test_the_representation_is_told_by_its_channels(channels: int, aggregation: str) -> None:
    config = GEN1.replace(in_channels=channels)
    assert complete(config, PUBLISHED_EVALUATION).aggregation == aggregation
    if channels != 2:
        assert error_of(config, f"{PUBLISHED_EVALUATION} aggregation sum").startswith(
            f"The weights of {CKPT} need `aggregation` {aggregation}, not sum. "
        )
    else:
        assert complete(config, f"{PUBLISHED_EVALUATION} aggregation sum").aggregation == "sum"


def test_weights_for_colour_images() -> None:
    """Plain YOLOX has the names of a detector without spikes that counts events."""
    assert error_of(DetectorConfig(num_classes=80, in_channels=3), "") == (
        f"The weights of {CKPT} take frames of 3 channels, such as colour images. Events have 1, "
        "2, 4."
    )
