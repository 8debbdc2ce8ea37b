from __future__ import annotations

import pytest
from experiments import PUBLISHED_GEN1_PAIRS, PUBLISHED_GEN4, PUBLISHED_N_CALTECH

from easnn.exp import EventExp, get_exp
from easnn.utils.errors import ConfigError


def experiment(words: str) -> EventExp:
    exp = EventExp()
    exp.merge(words.split())
    return exp


@pytest.mark.parametrize("pairs", PUBLISHED_GEN1_PAIRS, ids=["s", "m", "l"])
def test_published_gen1_commands_are_valid(pairs: list[str]) -> None:
    exp = get_exp(exp_name="e-yolox-s")
    exp.merge(pairs)
    exp.validate()
    assert exp.notices() == []


def test_the_published_n_caltech_command_is_valid() -> None:
    exp = get_exp(exp_name="e-yolox-m")
    exp.merge(PUBLISHED_N_CALTECH.split())
    exp.validate()
    assert exp.notices() == []
    assert (exp.data_name, exp.num_classes, exp.window) == ("n-caltech", 100, 0)


def test_the_published_1mpx_command_is_valid() -> None:
    exp = get_exp(exp_name="e-yolox-m")
    exp.merge(PUBLISHED_GEN4.split())
    exp.validate()
    assert exp.notices() == []
    assert (exp.data_name, exp.aggregation, exp.Tl, exp.Tm) == ("gen4", "event_sum", 4, 4)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "use_spike True T 3",
        "use_spike True T 3 Ts 3 embedding arsnn",
        "embedding arsnn T 3",
        "aggregation sum",
        "warmup_epochs 100 no_aug_epochs 200",
        "scheduler multistep milestones 20,25",
        "aggregation voxel_grid embedding arsnn",
        "aggregation voxel_cube embedding rsnn measure timesurface",
        "aggregation timesurface embedding snn slicing window tau 20",
        "aggregation sum measure timesurface",
        "aggregation event_sum",
        "aggregation event_sum Tl 7",
        "aggregation event_sum embedding arsnn Tl 4",
        "aggregation event_sum embedding rsnn Tl 2 Tm 2",
        "speed_aug True speed_range 1,1",
        "memory lstm use_spike full_spike clip 10 stream_share 1",
    ],
)
def test_valid_combinations(words: str) -> None:
    experiment(words).validate()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("use_spike True T 3 Ts 2 embedding arsnn", "`Ts` must be 1 or `T` (3), but is 2."),
        (
            "Ts 3 T 3 embedding arsnn",
            "`Ts` must be 1 for a detector that does not spike, but is 3.",
        ),
        ("use_spike True T 5 Ts 5 embedding arsnn", "`Ts` must be at most `Tm` (4), but is 5."),
        (
            "use_spike True T 3 Ts 3 embedding snn",
            "`Ts` must be 1 for the embedding `snn`, but is 3.",
        ),
        (
            "embedding rsnn readout avg",
            "`readout` must be sum or last for the embedding `rsnn`, but is avg.",
        ),
        ("scale_range 1,0.5", "`scale_range` must begin with the smaller scale, but is 1,0.5."),
        ("erase_range 0.3,0.1", "`erase_range` must begin with the smaller share, but is 0.3,0.1."),
        (
            "zoom_in_range 2,1.5",
            "`zoom_in_range` must begin with the smaller factor, but is 2,1.5.",
        ),
        (
            "warmup_epochs 200 no_aug_epochs 101",
            "`warmup_epochs` (200) and `no_aug_epochs` (101) must fit into `max_epoch` (300) "
            "together.",
        ),
        (
            "scheduler multistep",
            "`scheduler` multistep needs `milestones`: the epochs at which the learning rate "
            "falls.",
        ),
        (
            "aggregation sum embedding arsnn",
            "`Tm` must be 1 for `aggregation` sum, which gives one slice, but is 4. `aggregation` "
            "micro_sum gives `Tm` slices.",
        ),
        (
            "aggregation voxel_grid measure timesurface",
            "`measure` must be count for `aggregation` voxel_grid, which weighs events by their "
            "time already, but is timesurface.",
        ),
        (
            "aggregation timesurface measure timesurface",
            "`measure` must be count for `aggregation` timesurface, which weighs events by their "
            "time already, but is timesurface.",
        ),
        (
            "aggregation event_sum measure timesurface",
            "`measure` must be count for `aggregation` event_sum, which sums histograms, in which "
            "events have no time, but is timesurface.",
        ),
        (
            "aggregation event_sum embedding arsnn Tl 3",
            "`Tl` must be `Tm` (4) for `aggregation` event_sum and the embedding `arsnn`, whose "
            "sampling steps are the `Tl` histograms, but is 3.",
        ),
        (
            "aggregation event_sum drop_invalid True",
            "`drop_invalid` must be False for `aggregation` event_sum, whose frames are made from "
            "histograms of 50 ms and not from events, but is True.",
        ),
        (
            "aggregation event_sum window -50",
            "`window` must be -200 for `aggregation` event_sum, whose frames are made from "
            "histograms of 50 ms and not from events, but is -50.",
        ),
        (
            "aggregation event_sum slicing window",
            "`slicing` must be extent for `aggregation` event_sum, whose frames are made from "
            "histograms of 50 ms and not from events, but is window.",
        ),
        (
            "aggregation event_sum tau 50",
            "`tau` must be None for `aggregation` event_sum, whose frames are made from histograms "
            "of 50 ms and not from events, but is 50.0.",
        ),
        (
            "aggregation event_sum downsample 2",
            "`downsample` must be 1 for `aggregation` event_sum, whose frames are made from "
            "histograms of 50 ms and not from events, but is 2.",
        ),
        (
            "aggregation event_sum speed_aug True",
            "`speed_aug` must be False for `aggregation` event_sum, whose frames are made from "
            "histograms of 50 ms and not from events, but is True.",
        ),
        (
            "aggregation event_sum time_flip 0.5",
            "`time_flip` must be 0.0 for `aggregation` event_sum, whose frames are made from "
            "histograms of 50 ms and not from events, but is 0.5.",
        ),
        ("speed_range 2,0.5", "`speed_range` must begin with the smaller speed, but is 2,0.5."),
        (
            "speed_aug True window 0",
            "`speed_aug` needs a `window` that ends at the label and can hold more or less of the "
            "recording, but `window` is 0, the whole recording.",
        ),
        (
            "label_filter True",
            "`label_filter` must be False for `data_name` n-caltech, whose `DatasetKind` has no "
            "filter of labels, but is True.",
        ),
        (
            "clip 5 accumulate 2",
            "`accumulate` must be 1 for `clip` 5, whose clips are computed at once, but is 2.",
        ),
        (
            "clip 5 time_flip 0.5",
            "`time_flip` must be 0.0 for `clip` 5, whose windows are played one after another, but "
            "is 0.5.",
        ),
        (
            "memory lstm cuda_graphs True",
            "`cuda_graphs` must be False for `memory` lstm, whose steps are not recorded.",
        ),
        (
            "memory spiking speed_aug True",
            "`speed_aug` must be False for `memory` spiking, which reads the windows of a "
            "recording one after another, at one speed.",
        ),
        ("train_splits ()", "`train_splits` must name one or more splits, each once, but is ()."),
        (
            "train_splits train,val,train",
            "`train_splits` must name one or more splits, each once, but is train,val,train.",
        ),
    ],
)
def test_invalid_combinations(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        experiment(words).validate()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("words", "tau_us"),
    [("", 10_000), ("data_name gen1", 50_000), ("data_name synthetic", 50_000), ("tau 2.5", 2_500)],
)
def test_events_fade_as_suits_the_dataset_unless_told_otherwise(words: str, tau_us: int) -> None:
    assert experiment(words).frame_spec().tau_us == tau_us


def test_the_published_voxel_cube_is_pointed_out() -> None:
    assert experiment("aggregation voxel_cube").notices() == [
        "`aggregation` voxel_cube is as published: late OFF and early ON events share channel 1, "
        "and channel 2 is empty."
    ]


def test_notices() -> None:
    assert experiment("abs split train_splits train,val").notices() == [
        "`abs` split has no effect; it had none in the published code either.",
        "`eval_split` val is also a training split: its AP says nothing about new data.",
    ]


def test_keys_without_effect_are_pointed_out() -> None:
    assert experiment("embedding snn spike_attach True").notices() == [
        "`spike_attach` has no effect for `embedding` snn, which writes no segments."
    ]
    assert experiment("embedding count spike_attach True write_zero True").notices() == [
        "`spike_attach`, `write_zero` have no effect for `embedding` count, which writes no "
        "segments."
    ]
    assert experiment("embedding arsnn spike_attach True write_zero True").notices() == []


@pytest.mark.parametrize("name", ["a/b", "..", ".", "/tmp", "a\\b"])
def test_the_run_name_is_one_folder(name: str) -> None:
    exp = EventExp()
    exp.exp_name = name
    with pytest.raises(ConfigError) as error:
        exp.validate()
    assert str(error.value) == (
        "`exp_name` must be the name of one folder in `output_dir`, without slashes, but is "
        f"{name!r}. Give the folder above it with `output_dir`."
    )
