from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from experiments import set_keys

from easnn.exp import EventExp, event_exp, get_exp


def tiny() -> EventExp:
    exp = get_exp(exp_name="e-yolox-demo")
    set_keys(exp, "width 0.125 input_size 32,64 test_size 64,64")
    return exp


def test_the_python_interface() -> None:
    exp = get_exp(exp_name="e-yolox-s")
    set_keys(exp, "use_spike True T 3 Ts 3 embedding arsnn width 0.125 num_classes 2")
    model = exp.get_model()
    events = torch.randint(0, 3, (2, 1, 4, 2, 32, 64)).float()
    targets = torch.zeros(2, 5, 5)
    targets[0, 0] = torch.tensor([1.0, 16.0, 16.0, 20.0, 20.0])

    losses = model(events, targets)
    assert set(losses) == {"total_loss", "iou_loss", "l1_loss", "conf_loss", "cls_loss", "num_fg"}
    losses["total_loss"].backward()

    model.eval()
    with torch.inference_mode():
        assert model(events).shape == (2, 4 * 8 + 2 * 4 + 1 * 2, 5 + 2)
        assert model.embedding(events).shape == (3, 2, 2, 32, 64)


def test_the_network_is_what_the_keys_say() -> None:
    exp = EventExp()
    set_keys(
        exp,
        "num_classes 3 depth 0.33 width 0.25 depthwise True act relu use_spike full_spike spike_fn "
        "patan alpha 1.5 T 3 stem conv embedding arsnn embedding_depth 2 embedding_ksize 5 Tm 5 Ts "
        "3 thresh 0.9 reset None decay 0.25 readout last spike_attach True write_zero True abs "
        "True norm bn",
    )
    config = exp.detector_config()
    assert repr(config) == (
        "DetectorConfig(embedding='arsnn', embedding_depth=2, embedding_ksize=5, "
        "embedding_act='relu', Ts=3, "
        "spike_attach=True, write_zero=True, readout='last', thresh=0.9, reset=None, decay=0.25, "
        "abs=True, norm='bn', num_classes=3, depth=0.33, width=0.25, backbone='csp', "
        "stem='conv', depthwise=True, act='relu', use_spike=<SpikeMode.FULL: 'full_spike'>, "
        "residual='spikes', spike_fn='patan', alpha=1.5, neuron='plif', spike_levels=4, T=3, "
        "memory='none', memory_dim=64, memory_kernel=1, activation_checkpointing=False, "
        "in_channels=2)"
    )


@pytest.mark.parametrize(
    ("aggregation", "channels"), [("voxel_grid", 1), ("micro_sum", 2), ("voxel_cube", 4)]
)
def test_the_network_takes_the_channels_of_the_frames(aggregation: str, channels: int) -> None:
    exp = EventExp()
    exp.merge(["aggregation", aggregation])
    assert exp.frame_spec().channels == exp.detector_config().in_channels == channels


def test_abs_split_builds_the_same_network_as_no_abs() -> None:
    exp = tiny()
    exp.merge(["abs", "split"])
    assert str(exp.get_model()) == str(tiny().get_model())


def test_learning_rates_follow_the_batch_size() -> None:
    exp = tiny()
    set_keys(
        exp,
        "basic_lr_per_img 0.001 emb_lr 0.002 optimizer SGD momentum 0.8 weight_decay 0.1 scheduler "
        "fixed",
    )
    optimizer = exp.get_optimizer(exp.get_model(), batch_size=8)
    scales = {group["name"]: group["lr_scale"] for group in optimizer.param_groups}
    assert scales.pop("embedding") == pytest.approx(0.002 / 0.008)
    assert set(scales.values()) == {1.0}
    assert optimizer.param_groups[0]["momentum"] == 0.8
    assert exp.get_schedule(batch_size=8, steps_per_epoch=3)(2) == pytest.approx(0.008)
    set_keys(exp, "accumulate 4")
    assert exp.get_schedule(batch_size=8, steps_per_epoch=3)(2) == pytest.approx(0.032)
    optimizer = exp.get_optimizer(exp.get_model(), batch_size=8)
    scales = {group["name"]: group["lr_scale"] for group in optimizer.param_groups}
    assert scales["embedding"] == pytest.approx(0.002 / 0.032)


def test_data_is_looked_for_here_and_then_in_the_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    for folder in (root / "data", here):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    exp = EventExp()
    exp.data_dir = "data"
    monkeypatch.delenv("EASNN_ROOT", raising=False)
    assert exp.data_root() == Path("data")
    monkeypatch.setenv("EASNN_ROOT", str(root))
    assert exp.data_root() == root / "data"
    (here / "data").mkdir()
    assert exp.data_root() == Path("data")
    for missing in ("nowhere", "/nowhere"):
        exp.data_dir = missing
        assert exp.data_root() == Path(missing)


def test_the_default_folder_is_named_after_the_dataset() -> None:
    exp = EventExp()
    exp.data_name = "gen1"
    assert exp.data_root().parts[-2:] == ("datasets", "gen1")


def test_jitter_and_interpolation_are_those_of_the_dataset_unless_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies = []
    monkeypatch.setattr(
        event_exp, "build_train_loader", lambda _data, policy, **_options: policies.append(policy)
    )
    monkeypatch.setattr(EventExp, "get_dataset", lambda *_: None)
    seen = []
    for words in ("data_name gen1", "data_name n-caltech", "data_name n-caltech jitter 0.25"):
        exp = EventExp()
        set_keys(exp, words)
        exp.get_train_loader(batch_size=2, device=torch.device("cpu"))
        prepare = exp.get_prepare(training=False)
        assert isinstance(prepare, partial)
        seen.append((policies[-1].jitter, prepare.keywords["interpolation"]))
    assert seen == [(0.3, "linear"), (0.1, "cubic"), (0.25, "cubic")]
