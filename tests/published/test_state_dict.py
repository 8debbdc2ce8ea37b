"""Published state dicts: which network they belong to, and our names for what they hold."""

from __future__ import annotations

import json

import pytest
import torch
from golden_case import CASES, config_of

from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.published import from_published, to_published
from easnn.utils.errors import CheckpointError

TINY = DetectorConfig(num_classes=2, depth=0.33, width=0.125)
CONFIGS = {
    "not_spiking": TINY,
    "deep_and_wide": TINY.replace(depth=2.0, width=0.375, num_classes=100),
    "separable": TINY.replace(depthwise=True),
    "separable_spiking": TINY.replace(depthwise=True, use_spike=SpikeMode.FULL_V2, stem="conv"),
    "backbone": TINY.replace(use_spike=SpikeMode.BACKBONE),
    "pyramid": TINY.replace(use_spike=SpikeMode.FULL, stem="conv"),
    "learned_slope": TINY.replace(use_spike=SpikeMode.BACKBONE, spike_fn="patan"),
    "arsnn": TINY.replace(embedding="arsnn", embedding_depth=3, embedding_ksize=3, norm="bn"),
    "rsnn": TINY.replace(embedding="rsnn", embedding_depth=2, embedding_ksize=1),
    "snn": TINY.replace(embedding="snn", embedding_ksize=5, in_channels=4),
    "one_channel": TINY.replace(in_channels=1, stem="conv"),
}


def weights_of(config):
    model = build_detector(config)
    return model.state_dict(), to_published(config, model.state_dict())


@pytest.mark.parametrize("name", CONFIGS)
def test_names_and_shapes_tell_the_network(name):
    config = CONFIGS[name]
    ours, published = weights_of(config)
    found, weights = from_published(published)
    assert found == config
    assert list(weights) == list(ours)
    assert all(torch.equal(weights[name], value) for name, value in ours.items())


@pytest.mark.parametrize("name", CASES)
def test_golden_names(name, golden):
    expected = json.loads((golden / "model" / f"{name}.json").read_text())
    state_dict = {name: torch.zeros(shape) for name, shape in expected["state_dict"]}
    config, weights = from_published(state_dict)
    wanted = config_of(expected)
    untold = {"T": 4, "alpha": 2.0, "thresh": 1.0, "spike_attach": False, "write_zero": False}
    if wanted.embedding == "count":
        untold |= {"embedding_depth": 1, "embedding_ksize": 7}
    assert config == wanted.replace(**untold)
    assert list(to_published(config, weights)) == list(state_dict)


def test_several_multipliers_mean_the_same_network():
    config, _ = from_published(weights_of(TINY.replace(depth=0.6, width=0.13))[1])
    assert (config.depth, config.width) == (0.67, 0.125)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_from_inside_a_parallel_or_compiled_module(wrapper):
    ours, published = weights_of(TINY)
    config, weights = from_published({wrapper + name: value for name, value in published.items()})
    assert config == TINY
    assert len(weights) == len(published)
    wrapped = {wrapper + name: value for name, value in ours.items()}
    assert list(to_published(config, wrapped)) == list(published)


def test_parameters_become_plain_tensors():
    model = build_detector(TINY)
    _, weights = from_published(to_published(TINY, model.state_dict(keep_vars=True)))
    assert {type(value) for value in weights.values()} == {torch.Tensor}


def test_what_is_no_weight_is_left_out():
    config = CONFIGS["backbone"]
    _, published = weights_of(config)
    extra = {
        "total_ops": 1,
        "backbone.backbone.dark2.0.total_params": 2,
        "backbone.backbone.dark2.0.act.v": 0,
    }
    found, weights = from_published(
        published | {name: torch.tensor(x) for name, x in extra.items()}
    )
    assert found == config
    assert len(weights) == len(published)


def test_the_slope_may_have_any_name():
    _, published = weights_of(CONFIGS["learned_slope"])
    renamed = {
        name.replace("function.alpha", "function.a"): value for name, value in published.items()
    }
    assert renamed.keys() != published.keys()
    assert from_published(renamed)[0].spike_fn == "patan"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop("head.stems.1.bn.bias"),
            "missing: head.stems.1.bn.bias",
        ),
        (
            lambda w: w.update({"neck.x": torch.zeros(1), "head.obj_preds.0.bias": torch.zeros(2)}),
            "unexpected: neck.x; shape: head.obj_preds.0.bias is [2], must be [1]",
        ),
        (
            lambda w: [w.pop(name) for name in list(w) if ".C3_p4." in name],
            "missing: backbone.C3_p4.conv1.conv.weight; missing: backbone.C3_p4.conv1.bn.weight; "
            "missing: backbone.C3_p4.conv1.bn.bias and 27 more",
        ),
        (
            lambda w: w.update({"backbone.backbone.stem.conv.conv.weight": torch.zeros(8)}),
            "backbone.backbone.stem.conv.conv.weight is [8], which is no kernel",
        ),
        (
            lambda w: w.update(
                {"backbone.backbone.stem.conv.conv.weight": torch.zeros(0, 8, 3, 3)}
            ),
            "there is no such network: `width` must be a number > 0 and ≤ 16, but is 0.0",
        ),
    ],
)
def test_half_a_network_is_refused(change, message):
    _, published = weights_of(TINY)
    change(published)
    with pytest.raises(CheckpointError) as error:
        from_published(published)
    assert str(error.value) == message


def test_weights_of_another_network_are_not_renamed():
    with pytest.raises(
        CheckpointError, match=r"^The published code has no network with these weights: "
    ):
        to_published(TINY, weights_of(CONFIGS["arsnn"])[0])
