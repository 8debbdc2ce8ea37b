from __future__ import annotations

import pytest
import torch

from easnn.models import (
    DetectorConfig,
    SpikeMode,
    build_detector,
    load_published_state_dict,
    published_names,
)
from easnn.utils.errors import CheckpointError


def tiny(use_spike=SpikeMode.FULL_V2, stem="focus", embedding="arsnn"):
    return build_detector(
        DetectorConfig(
            num_classes=2,
            depth=0.33,
            width=0.125,
            use_spike=use_spike,
            stem=stem,
            embedding=embedding,
            embedding_ksize=3,
        )
    )


def published_weights(model):
    state = model.state_dict()
    return {name: state[ours] + 1 for ours, name in published_names(model).items()}


@pytest.mark.parametrize("mode", list(SpikeMode))
@pytest.mark.parametrize("stem", ["focus", "conv"])
def test_weights_arrive_under_their_own_names(mode, stem):
    model = tiny(mode, stem)
    weights = published_weights(model)
    load_published_state_dict(model, weights)
    state = model.state_dict()
    assert len(weights) == len(state)
    assert all(
        torch.equal(state[ours], weights[name]) for ours, name in published_names(model).items()
    )


def test_examples_of_names():
    names = published_names(tiny())
    examples = {
        "embedding.recurrence.gate_conv.0.bias": "embedding.gate_conv.0.bias",
        "backbone.stem.conv.conv.weight": "backbone.backbone.stem.0.conv.conv.weight",
        "backbone.dark3.1.blocks.2.conv1.act.w": "backbone.backbone.dark3.1.m.2.conv1.act.w",
        "backbone.dark5.1.merge.conv.weight": "backbone.backbone.dark5.1.conv2.conv.0.weight",
        "backbone.dark5.2.merge.conv.weight": "backbone.backbone.dark5.2.conv3.conv.0.weight",
        "neck.topdown4.skip.bn.running_var": "backbone.C3_p4.conv2.bn.running_var",
        "head.levels.2.class_tower.1.conv.weight": "head.cls_convs.2.1.conv.0.weight",
        "head.levels.0.object_out.bias": "head.obj_preds.0.0.bias",
    }
    assert {ours: names[ours] for ours in examples} == examples


def test_every_misfit_is_listed_and_nothing_is_loaded():
    model = tiny(SpikeMode.NONE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = published_weights(model)
    del weights["head.stems.1.bn.bias"]
    weights["head.stems.1.act.w"] = torch.zeros(())
    weights["backbone.lateral_conv0.conv.weight"] = torch.zeros(64, 128, 3, 3)
    with pytest.raises(CheckpointError) as error:
        load_published_state_dict(model, weights)
    assert str(error.value) == (
        "The checkpoint does not fit the model. Build the model with the keys of the checkpoint's "
        "own training (`use_spike`, `stem`, `embedding`, `depth`, `width`, `num_classes`, …).\n"
        "  missing: head.stems.1.bn.bias\n"
        "  unexpected: head.stems.1.act.w\n"
        "  shape: backbone.lateral_conv0.conv.weight is [64, 128, 3, 3], must be [64, 128, 1, 1]"
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_names_of_a_compiled_network_and_values_that_are_not_finite():
    model = tiny(SpikeMode.NONE)
    weights = {f"_orig_mod.{name}": value for name, value in published_weights(model).items()}
    load_published_state_dict(model, weights)
    weights["_orig_mod.head.stems.1.bn.bias"][0] = float("nan")
    with pytest.raises(CheckpointError) as error:
        load_published_state_dict(model, weights)
    assert str(error.value) == (
        "The weights of this state dict must be finite, but there are NaN or infinite values in "
        "_orig_mod.head.stems.1.bn.bias. Use another checkpoint, e.g. an earlier one of the same "
        "run."
    )


@pytest.mark.parametrize(
    ("embedding", "published"),
    [
        ("rsnn", {"embedding.input_conv.layer.0.weight", "embedding.gate_conv.0.weight"}),
        ("snn", {"embedding.embedding_conv.layer.0.weight", "embedding.cell.decay"}),
        ("count", set()),
    ],
)
def test_names_of_other_embeddings(embedding, published):
    names = {
        n for n in published_names(tiny(embedding=embedding)).values() if n.startswith("embedding")
    }
    assert {name for name in names if not name.endswith("bias")} == published
