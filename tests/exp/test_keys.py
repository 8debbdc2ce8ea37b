from __future__ import annotations

from typing import Any

import pytest
from experiments import set_keys

from easnn.exp import EventExp, key
from easnn.models import SpikeMode
from easnn.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("spike_attach", "True", True),
        ("spike_attach", "False", False),
        ("T", "3", 3),
        ("window", "-200", -200),
        ("depth", "0.33", 0.33),
        ("basic_lr_per_img", "1e-5", 1e-5),
        ("emb_lr", "-1", -1.0),
        ("thresh", "1", 1.0),
        ("reset", "None", None),
        ("reset", "0.5", 0.5),
        ("seed", "80", 80),
        ("seed", "None", None),
        ("norm", "bn", "bn"),
        ("norm", "None", None),
        ("use_spike", "False", SpikeMode.NONE),
        ("use_spike", "True", SpikeMode.BACKBONE),
        ("use_spike", "full_spike", SpikeMode.FULL),
        ("use_spike", "full_spike_v2", SpikeMode.FULL_V2),
        ("abs", "True", True),
        ("abs", "split", "split"),
        ("data_dir", "None", None),
        ("data_dir", "/a/b c", "/a/b c"),
        ("input_size", "256,320", (256, 320)),
        ("input_size", "(256,320)", (256, 320)),
        ("input_size", "[256, 320]", (256, 320)),
        ("milestones", "()", ()),
        ("milestones", "20,", (20,)),
        ("milestones", "20,25", (20, 25)),
        ("train_splits", "train,val", ("train", "val")),
    ],
)
def test_text_becomes_a_value_of_the_declared_type(name: str, text: str, value: object) -> None:
    experiment = EventExp()
    experiment.merge([name, text])
    assert getattr(experiment, name) == value
    assert type(getattr(experiment, name)) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("spike_attach", "true", "`spike_attach` must be True or False, but is 'true'."),
        ("spike_attach", "1", "`spike_attach` must be True or False, but is '1'."),
        ("T", "3.0", "`T` must be a whole number ≥ 1 and ≤ 1000, but is '3.0'."),
        ("T", "1_000", "`T` must be a whole number ≥ 1 and ≤ 1000, but is '1_000'."),
        ("T", "0", "`T` must be a whole number ≥ 1 and ≤ 1000, but is '0'."),
        ("T", "None", "`T` must be a whole number ≥ 1 and ≤ 1000, but is 'None'."),
        ("window", "200", "`window` must be a whole number ≤ 0, but is '200'."),
        ("T", "1000000", "`T` must be a whole number ≥ 1 and ≤ 1000, but is '1000000'."),
        (
            "zoom_in_range",
            "1,1e308",
            "`zoom_in_range` must be 2 values separated by commas, each a number ≥ 1 and ≤ 100, "
            "but is '1,1e308'.",
        ),
        (
            "scale_range",
            "0.4,1e308",
            "`scale_range` must be 2 values separated by commas, each a number > 0 and ≤ 100, "
            "but is '0.4,1e308'.",
        ),
        ("depth", "0", "`depth` must be a number > 0 and ≤ 16, but is '0'."),
        ("depth", "nan", "`depth` must be a number > 0 and ≤ 16, but is 'nan'."),
        ("depth", "1e999", "`depth` must be a number > 0 and ≤ 16, but is '1e999'."),
        ("decay", "1", "`decay` must be a number > 0 and < 1, but is '1'."),
        ("reset", "none", "`reset` must be None or a number, but is 'none'."),
        (
            "embedding_ksize",
            "4",
            "`embedding_ksize` must be an odd number ≥ 1 and ≤ 101, but is '4'.",
        ),
        ("act", "gelu", "`act` must be silu, relu or lrelu, but is 'gelu'."),
        ("norm", "ln", "`norm` must be None or bn, but is 'ln'."),
        (
            "use_spike",
            "full",
            "`use_spike` must be False, True, full_spike or full_spike_v2, but is 'full'.",
        ),
        (
            "input_size",
            "256",
            "`input_size` must be 2 values separated by commas, each a multiple of 32 ≥ 32 and "
            "≤ 16384, but is '256'.",
        ),
        (
            "input_size",
            "240,304",
            "`input_size` must be 2 values separated by commas, each a multiple of 32 ≥ 32 and "
            "≤ 16384, but is '240,304'.",
        ),
        ("exp_name", "", "`exp_name` must be None or text, but is ''."),
    ],
)
def test_text_that_does_not_fit_is_refused(name: str, text: str, message: str) -> None:
    experiment = EventExp()
    with pytest.raises(ConfigError) as error:
        experiment.merge([name, text])
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("depth", 1, 1.0),
        ("input_size", [256, 320], (256, 320)),
        ("use_spike", True, SpikeMode.BACKBONE),
        ("use_spike", "full_spike", SpikeMode.FULL),
        ("use_spike", SpikeMode.FULL_V2, SpikeMode.FULL_V2),
        ("reset", None, None),
    ],
)
def test_assigned_value_becomes_the_declared_type(name: str, value: object, stored: object) -> None:
    experiment = EventExp()
    setattr(experiment, name, value)
    assert getattr(experiment, name) == stored
    assert type(getattr(experiment, name)) is type(stored)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("spike_attach", "False", "`spike_attach` must be True or False, but is 'False'."),
        ("spike_attach", 0, "`spike_attach` must be True or False, but is 0."),
        ("T", True, "`T` must be a whole number ≥ 1 and ≤ 1000, but is True."),
        ("T", 3.0, "`T` must be a whole number ≥ 1 and ≤ 1000, but is 3.0."),
        ("depth", "0.33", "`depth` must be a number > 0 and ≤ 16, but is '0.33'."),
        ("data_dir", 3, "`data_dir` must be None or a path, but is 3."),
        (
            "use_spike",
            1,
            "`use_spike` must be False, True, full_spike or full_spike_v2, but is 1.",
        ),
        (
            "train_splits",
            "train",
            "`train_splits` must be values separated by commas, each train, val or test, but is "
            "'train'.",
        ),
    ],
)
def test_assigned_value_that_does_not_fit_is_refused(
    name: str, value: object, message: str
) -> None:
    experiment = EventExp()
    with pytest.raises(ConfigError) as error:
        setattr(experiment, name, value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embeding_depth", "2"], "Unknown key `embeding_depth`. Did you mean `embedding_depth`?"),
        (["xyz", "2"], "Unknown key `xyz`. `--help-keys` lists every key."),
        (["T", "3", "Ts"], "Keys and values must come in pairs, but `Ts` has no value."),
        (
            ["max_epoch", "T", "3"],
            "Keys and values must come in pairs, but `max_epoch` has no value.",
        ),
        (["T", "3", "T", "4"], "`T` must be given once, but is '3' and '4'."),
    ],
)
def test_words_that_are_no_pairs_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        EventExp().merge(words)
    assert str(error.value) == message


def test_merge_changes_nothing_if_one_pair_is_wrong() -> None:
    experiment = EventExp()
    with pytest.raises(ConfigError):
        experiment.merge(["T", "3", "Ts", "x"])
    assert experiment.T == 4


def test_the_same_value_twice_is_accepted() -> None:
    experiment = EventExp()
    experiment.merge(["T", "3", "T", "3"])
    assert experiment.T == 3


def test_an_undeclared_attribute_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        EventExp().dept = 0.33  # type: ignore[attr-defined]
    assert str(error.value) == "Unknown key `dept`. Did you mean `depth`?"


def test_values_belong_to_one_experiment() -> None:
    changed, other = EventExp(), EventExp()
    changed.T = 7
    assert (changed.T, other.T, EventExp.declarations()["T"].default) == (7, 4, 4)


def test_a_subclass_declares_its_own_keys() -> None:
    class Own(EventExp):
        LIMITS = (1, 2)
        sheep: int = key(3, "how many", low=1, unit="head")

    experiment = Own()
    experiment.merge(["sheep", "5"])
    assert experiment.sheep == 5
    assert "sheep" not in EventExp.declarations()
    with pytest.raises(ConfigError) as error:
        experiment.sheep = 0
    assert str(error.value) == "`sheep` must be a whole number ≥ 1, but is 0."


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"depth": 0.33},
            "`depth` must be set in `__init__` of `Wrong`, as `self.depth = 0.33`, but is set in "
            "the class.",
        ),
        ({"dept": 0.33}, "Unknown key `dept`. Did you mean `depth`?"),
    ],
)
def test_a_value_in_the_class_body_is_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        type("Wrong", (EventExp,), attributes)
    assert str(error.value) == message


def test_every_value_survives_as_text_and_as_plain_value() -> None:
    experiment, from_text, from_plain = EventExp(), EventExp(), EventExp()
    set_keys(
        experiment,
        "use_spike full_spike input_size 256,320 milestones 3,4 reset None abs split data_dir x",
    )
    for name, declared in EventExp.declarations().items():
        from_text.merge([name, declared.kind.text(getattr(experiment, name))])
    from_plain.load_plain(experiment.plain())
    assert from_text.plain() == from_plain.plain() == experiment.plain()
