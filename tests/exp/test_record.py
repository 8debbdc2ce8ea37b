from __future__ import annotations

from pathlib import Path

import pytest
from experiments import set_keys, write_experiment

from easnn.exp import NETWORK_KEYS, EventExp, ExperimentRecord, get_exp
from easnn.utils.errors import CheckpointError

CKPT = Path("runs/a/ckpt.pth")


def round_trip(exp: EventExp) -> EventExp:
    return ExperimentRecord.read(ExperimentRecord.of(exp).plain(), CKPT).experiment(CKPT)


def test_a_named_experiment_comes_back() -> None:
    exp = get_exp(exp_name="e-yolox-s")
    set_keys(exp, "T 3 use_spike full_spike input_size 256,320 reset None exp_name mine")
    back = round_trip(exp)
    assert type(back).__name__ == "Exp"
    assert back.plain() == exp.plain()


def test_a_file_that_only_sets_keys_is_not_needed(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "self.depth = 0.5")
    exp = get_exp(exp_file=path)
    path.unlink()
    back = round_trip(exp)
    assert type(back) is EventExp
    assert back.plain() == exp.plain()


def test_a_file_with_code_must_be_given_by_the_user(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "pass\n    def get_model(self): return 'mine'")
    record = ExperimentRecord.of(get_exp(exp_file=path))
    with pytest.raises(CheckpointError) as error:
        record.experiment(CKPT)
    assert str(error.value) == (
        f"{CKPT} was trained with the experiment file {path}, which defines get_model. Give this "
        "file with -f."
    )


def test_the_representation_belongs_to_the_network() -> None:
    exp = EventExp()
    set_keys(exp, "aggregation voxel_cube measure timesurface width 0.5")
    other = get_exp(exp_name="e-yolox-s")
    ExperimentRecord.of(exp).give(other, NETWORK_KEYS, CKPT)
    assert (other.aggregation, other.measure) == ("voxel_cube", "timesurface")
    assert other.detector_config().in_channels == 4


def test_activation_checkpointing_does_not_belong_to_the_network() -> None:
    exp = EventExp()
    set_keys(exp, "activation_checkpointing True T 3")
    other = get_exp(exp_name="e-yolox-s")
    ExperimentRecord.of(exp).give(other, NETWORK_KEYS, CKPT)
    assert (other.T, other.activation_checkpointing) == (3, False)
    assert round_trip(exp).activation_checkpointing


def test_no_code_runs_for_a_name_that_is_a_path(tmp_path: Path) -> None:
    evil = write_experiment(tmp_path, "raise AssertionError('executed')", name="evil")
    record = ExperimentRecord(
        name=str(evil.with_suffix("")), file=str(evil), defines=[], keys={"T": 3}
    )
    assert type(record.experiment(CKPT)) is EventExp


@pytest.mark.parametrize(
    "value",
    [
        None,
        "e-yolox-s",
        {},
        {"name": 1, "file": None, "defines": [], "keys": {}},
        {"name": None, "file": None, "defines": [], "keys": []},
    ],
)
def test_anything_else_is_no_record(value: object) -> None:
    with pytest.raises(CheckpointError) as error:
        ExperimentRecord.read(value, CKPT)
    assert str(error.value) == f"{CKPT} does not say which experiment it belongs to."


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"xyz": 2}, "Unknown key `xyz`. `--help-keys` lists every key."),
        ({"T": "3"}, "`T` must be a whole number ≥ 1 and ≤ 1000, but is '3'."),
    ],
)
def test_a_record_of_another_version_says_so(keys: dict[str, object], reason: str) -> None:
    record = ExperimentRecord(name="e-yolox-s", file=None, defines=[], keys=keys)
    with pytest.raises(CheckpointError) as error:
        record.experiment(CKPT)
    assert str(error.value) == (
        f"The experiment in {CKPT} does not fit this version: {reason} Give another with -n or -f."
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("width", 1e6, "a number > 0 and ≤ 16"),
        ("T", 10**6, "a whole number ≥ 1 and ≤ 1000"),
        ("Tm", 10**6, "a whole number ≥ 1 and ≤ 1000"),
        (
            "test_size",
            [2**20, 32],
            "2 values separated by commas, each a multiple of 32 ≥ 32 and ≤ 16384",
        ),
    ],
)
def test_a_network_of_an_absurd_size_is_refused(name: str, value: object, expected: str) -> None:
    record = ExperimentRecord(name="e-yolox-s", file=None, defines=[], keys={name: value})
    with pytest.raises(CheckpointError) as error:
        record.experiment(CKPT)
    assert str(error.value) == (
        f"The experiment in {CKPT} does not fit this version: `{name}` must be {expected}, but is "
        f"{value}. Give another with -n or -f."
    )


def test_differences_are_a_table_without_output_keys() -> None:
    trained, here = get_exp(exp_name="e-yolox-s"), get_exp(exp_name="e-yolox-s")
    here.merge(["T", "3", "input_size", "256,320", "exp_name", "other"])
    table = ExperimentRecord.of(trained).differences(here)
    assert table == (
        "key         checkpoint    here\n"
        "----------  ------------  ----------\n"
        "T           4             3\n"
        "input_size  [640, 640]    [256, 320]"
    )


def test_equal_experiments_have_no_differences() -> None:
    exp = get_exp(exp_name="e-yolox-s")
    assert ExperimentRecord.of(exp).differences(get_exp(exp_name="e-yolox-s")) == ""


def test_class_names_are_recorded(tmp_path: Path) -> None:
    exp = get_exp(exp_name="e-yolox-s")
    (tmp_path / "dataset.json").write_text('{"class_names": ["cup", "pen"]}')
    set_keys(exp, f"data_name gen1 num_classes 2 data_dir {tmp_path}")
    record = ExperimentRecord.of(exp)
    assert record.class_names == ["cup", "pen"]
    assert ExperimentRecord.read(record.plain(), CKPT) == record
    before = {name: value for name, value in record.plain().items() if name != "class_names"}
    assert ExperimentRecord.read(before, CKPT).class_names is None


def test_code_of_a_mixin_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from easnn.exp import EventExp\n\n"
        "class Mixin:\n    def get_model(self): return 'mine'\n\n"
        "class Exp(Mixin, EventExp): pass\n"
    )
    assert ExperimentRecord.of(get_exp(exp_file=path)).defines == ["get_model"]
