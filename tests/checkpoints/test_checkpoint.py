from __future__ import annotations

import math
import os
import pickle
import resource

import numpy as np
import pytest
import torch

from easnn.checkpoints import Checkpoint, load_checkpoint, load_weights, save_checkpoint
from easnn.checkpoints.format import KEYS
from easnn.utils.errors import CheckpointError, DamagedCheckpointError, OutputError


def whole(**changes):
    return {
        **dict.fromkeys(KEYS),
        "model": {"weight": torch.arange(3.0)},
        "raw_model": {"weight": torch.arange(3.0)},
        "best_ap": 0.5,
        **changes,
    }


def test_round_trip(tmp_path):
    path = tmp_path / "latest_ckpt.pth"
    save_checkpoint(path, whole(experiment={"T": 3, "input_size": (256, 320), "reset": None}))
    checkpoint = load_checkpoint(path)
    assert torch.equal(checkpoint["model"]["weight"], torch.arange(3.0))
    assert checkpoint["experiment"] == {"T": 3, "input_size": (256, 320), "reset": None}
    assert checkpoint["format"] == 1
    assert checkpoint["versions"]["torch"] == str(torch.__version__)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.float64(0.5),
            "checkpoint['best_ap'] must be a tensor or a plain value, but is a float64.",
        ),
        (
            {"path": [len]},
            "checkpoint['best_ap']['path'][0] must be a tensor or a plain value, but is a ",
        ),
    ],
)
def test_saving_anything_else_is_refused(tmp_path, value, message):
    with pytest.raises(TypeError) as error:
        save_checkpoint(tmp_path / "c.pth", whole(best_ap=value))
    assert str(error.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "c.pth"
    save_checkpoint(path, whole())
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(
            OutputError, match=rf"^Cannot write {path}: .*Nothing was replaced; free some space"
        ):
            save_checkpoint(path, whole(model={"weight": torch.zeros(1_000_000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path / "no.pth")
    assert (
        str(error.value)
        == f"Checkpoint {tmp_path / 'no.pth'} does not exist. Check the path given with -c."
    )


@pytest.mark.parametrize("part", [0, 1, 100, 700, -1])
def test_truncated_file(tmp_path, part):
    path = tmp_path / "c.pth"
    save_checkpoint(path, whole())
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert str(error.value) == (
        f"{path} ({path.stat().st_size} bytes) is truncated, damaged, or not a checkpoint. Copy it "
        "again, or use another one."
    )


@pytest.mark.parametrize(
    "content",
    [b"hello, world\n" * 100, bytes(4096), pickle.dumps([1, 2], protocol=2), b"\x89PNG\r\n"],
)
def test_other_files(tmp_path, content):
    path = tmp_path / "c.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is truncated, damaged, or not a checkpoint"):
        load_checkpoint(path)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_executable_content_is_refused_and_not_run(tmp_path):
    path, target = tmp_path / "c.pth", tmp_path / "made_by_the_bomb"
    torch.save({"format": 1, "model": Bomb(str(target))}, path)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert str(error.value) == (
        f"{path} contains objects other than tensors and plain values, and reading them could "
        "execute code; it was not read. Save its weights as a plain state dict with the software "
        "that wrote it."
    )
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"model": {}},
            "{path} is not a checkpoint of this framework: it has no `format`. Give a file that a "
            "training run wrote, such as latest_ckpt.pth or best_ckpt.pth.",
        ),
        (
            {"format": 2},
            "{path} has checkpoint format 2, but this version reads format 1. Use the version of "
            "the software that wrote it.",
        ),
        (
            {k: v for k, v in {**whole(), "format": 1}.items() if k not in ("rng", "step")},
            "{path} is not a complete checkpoint: it has no step, rng. Copy it again.",
        ),
        (
            {**whole(), "format": 1, "model": None},
            "`model` of {path} must map names to tensors of real numbers, but does not. Give "
            "another checkpoint.",
        ),
        (
            {**whole(), "format": 1, "model": {"weight": 3.0}},
            "`model` of {path} must map names to tensors of real numbers, but does not. Give "
            "another checkpoint.",
        ),
        (
            {**whole(), "format": 1, "raw_model": {"weight": torch.zeros(3).to_sparse()}},
            "`raw_model` of {path} must map names to tensors of real numbers, but does not. Give "
            "another checkpoint.",
        ),
        (
            {**whole(), "format": 1, "model": {"weight": torch.ones(3, dtype=torch.complex64)}},
            "`model` of {path} must map names to tensors of real numbers, but does not. Give "
            "another checkpoint.",
        ),
        (
            {**whole(), "format": 1, "rng": [({"a": torch.zeros(1).expand(10**6, 10**6)},)]},
            "{path} has tensors of more numbers than the file holds. Use another checkpoint.",
        ),
        (
            {**whole(), "format": 1, "model": {"a": torch.ones(2), "b.c": torch.tensor(math.nan)}},
            "The weights of {path} must be finite, but there are NaN or infinite values in b.c. "
            "Use another checkpoint, e.g. an earlier one of the same run.",
        ),
        (
            {
                **whole(),
                "format": 1,
                "raw_model": {f"w{i}": torch.tensor([0, -math.inf]).half() for i in range(5)},
            },
            "The weights of {path} must be finite, but there are NaN or infinite values in w0, w1, "
            "w2 and 2 more. Use another checkpoint, e.g. an earlier one of the same run.",
        ),
    ],
)
def test_other_contents(tmp_path, content, message):
    path = tmp_path / "c.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert str(error.value) == message.format(path=path)


def small_net(width=3):
    return torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Linear(3, 1))


def test_weights_of_the_same_model_load():
    source, model = small_net(), small_net()
    report = load_weights(model, source.state_dict(), strict=True, source="c.pth")
    assert report.complete
    assert torch.equal(model[0].weight, source[0].weight)


def test_strict_loading_lists_what_does_not_fit_and_changes_nothing():
    model = small_net(width=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = small_net().state_dict()
    del weights["1.bias"]
    weights["2.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as error:
        load_weights(model, weights, strict=True, source="c.pth")
    assert str(error.value) == (
        "The weights of c.pth belong to another model: 2 of another shape: 0.weight [3, 2], not "
        "[4, 2], 0.bias [3], not [4]; 1 missing in the checkpoint: 1.bias; 1 unknown to the model: "
        "2.weight. Give the same keys as for its training, or leave out all keys to use those in "
        "the checkpoint."
    )
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_loose_loading_takes_what_fits_and_reports_the_rest():
    source, model = small_net(), small_net(width=4)
    report = load_weights(model, source.state_dict(), strict=False, source="c.pth")
    assert report.loaded == ("1.weight", "1.bias")
    assert report.other_shape == (("0.weight", (3, 2), (4, 2)), ("0.bias", (3,), (4,)))
    assert torch.equal(model[1].weight, source[1].weight)
    assert "of another shape" in report.table()


def test_loose_loading_of_nothing_is_an_error():
    with pytest.raises(
        CheckpointError, match=r"^No weight of c\.pth fits this model: 4 missing in the checkpoint"
    ):
        load_weights(small_net(), {"x": torch.zeros(1)}, strict=False, source="c.pth")


def test_the_newest_whole_checkpoint_beside_a_damaged_one_is_offered(tmp_path):
    for name, epoch, step in (("best", 3, 20), ("epoch_4", 4, 0), ("epoch_5", 5, 0)):
        save_checkpoint(tmp_path / f"{name}_ckpt.pth", whole(epoch=epoch, step=step))
    latest = tmp_path / "latest_ckpt.pth"
    save_checkpoint(latest, whole(epoch=5, step=7))
    for path in (latest, tmp_path / "epoch_5_ckpt.pth"):
        content = bytearray(path.read_bytes())
        content[content.index(torch.arange(3.0).numpy().tobytes()) + 4] ^= 1
        path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError) as error:
        Checkpoint(latest)
    assert str(error.value) == (
        f"{latest} ({len(content)} bytes) is truncated, damaged, or not a checkpoint. Copy it "
        "again, or use another one. The newest whole checkpoint beside it is epoch_4_ckpt.pth, "
        "after 4 epochs and 0 steps; give it with -c."
    )


def test_without_another_checkpoint_none_is_offered(tmp_path):
    path = tmp_path / "latest_ckpt.pth"
    path.write_bytes(b"x" * 100)
    with pytest.raises(DamagedCheckpointError) as error:
        Checkpoint(path)
    assert str(error.value) == (
        f"{path} (100 bytes) is truncated, damaged, or not a checkpoint. Copy it again, or use "
        "another one."
    )


WRAPPED = {
    "parallel": lambda name: f"module.{name}",
    "compiled": lambda name: f"_orig_mod.{name}",
    "averaged of a parallel one": lambda name: f"module.module.{name}",
    "parallel of a compiled one": lambda name: f"module._orig_mod.{name}",
    "compiled of a parallel one": lambda name: f"_orig_mod.module.{name}",
    "with a compiled layer": lambda name: name.replace("0.", "0._orig_mod."),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_names_of_a_wrapped_model(wrapper):
    source, model = small_net(), small_net()
    wrapped = {WRAPPED[wrapper](name): weight for name, weight in source.state_dict().items()}
    assert load_weights(model, wrapped, strict=True, source="c.pth").complete
    assert torch.equal(model[0].weight, source[0].weight)
    assert torch.equal(model[1].bias, source[1].bias)


def test_a_model_that_has_a_module_of_this_name():
    source, model = (torch.nn.ModuleDict({"module": small_net()}) for _ in range(2))
    assert load_weights(model, source.state_dict(), strict=True, source="c.pth").complete
    plain = source["module"].state_dict()
    assert load_weights(model, plain, strict=True, source="c.pth").complete


def test_a_second_weight_for_the_same_name_is_unknown():
    model = small_net()
    weights = {**model.state_dict(), "module.1.bias": torch.zeros(1)}
    report = load_weights(model, weights, strict=False, source="c.pth")
    assert report.unexpected == ("module.1.bias",)
