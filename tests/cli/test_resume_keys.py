"""Another value of a key when a run is resumed does what the key's declaration says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from small_runs import EXPERIMENT, words, write_dataset
from torch import Tensor

from easnn.cli import train
from easnn.config import HARMLESS, TAKES_EFFECT
from easnn.exp import EventExp, get_exp

NEEDS_GPU = {"sync_bn": "needs GPUs", "cuda_graphs": "needs one process with a GPU"}


class Case(NamedTuple):
    """Another value of a key, and the keys of a run in which it matters."""

    value: str
    run: str = ""


CASES = {
    # The network and its input.
    "num_classes": Case("3"),
    "depth": Case("0.5"),
    "width": Case("0.25"),
    "stem": Case("conv"),
    "depthwise": Case("True"),
    "act": Case("relu"),
    "use_spike": Case("full_spike"),
    "backbone": Case("mds", "use_spike True residual membrane"),
    "residual": Case("membrane", "use_spike True"),
    "spike_fn": Case("rect"),
    "alpha": Case("3.0"),
    "neuron": Case("ilif", "use_spike True"),
    "spike_levels": Case("3"),
    "T": Case("3"),
    "embedding": Case("rsnn"),
    "embedding_depth": Case("2"),
    "embedding_ksize": Case("5"),
    "embedding_act": Case("lif", "embedding_depth 2"),
    "Ts": Case("2"),
    "spike_attach": Case("True"),
    "write_zero": Case("True"),
    "readout": Case("last"),
    "thresh": Case("0.5"),
    "reset": Case("None"),
    "decay": Case("0.3"),
    "abs": Case("True"),
    "norm": Case("bn"),
    "memory": Case("lstm"),
    "memory_dim": Case("32", "memory lstm"),
    "memory_kernel": Case("3", "memory spiking"),
    "window": Case("-30"),
    "Tl": Case("2"),
    "Tm": Case("2"),
    "aggregation": Case("voxel_grid"),
    "slicing": Case("window"),
    "measure": Case("timesurface"),
    "tau": Case("5", "measure timesurface"),
    # The data.
    "data_name": Case("gen1"),
    "data_dir": Case("OTHER"),
    "train_splits": Case("val"),
    "label_filter": Case("True"),
    "downsample": Case("2"),
    "drop_invalid": Case("True"),
    "input_size": Case("64,128"),
    "test_size": Case("64,128"),
    "data_num_workers": Case("1"),
    "flip_prob": Case("0"),
    "jitter": Case("0.9"),
    "scale_range": Case("0.1,0.2"),
    "zoom_prob": Case("1"),
    "zoom_in_share": Case("0", "zoom_prob 1"),
    "zoom_in_range": Case("3,4", "zoom_prob 1"),
    "zoom_out_range": Case("3,4", "zoom_prob 1 zoom_in_share 0"),
    "rotation": Case("90"),
    "rotation_prob": Case("1", "rotation 90 rotation_prob 0"),
    "shear": Case("60"),
    "shear_prob": Case("1", "shear 60 shear_prob 0"),
    "erase_prob": Case("1"),
    "erase_range": Case("0.9,1", "erase_prob 1"),
    "max_boxes": Case("1"),
    "min_visible": Case("1", "scale_range 2,3"),
    "speed_aug": Case("True"),
    "time_flip": Case("1"),
    "speed_range": Case("0.1,0.2", "speed_aug True"),
    # The training.
    "seed": Case("6"),
    "max_epoch": Case("3"),
    "basic_lr_per_img": Case("0.02"),
    "accumulate": Case("2"),
    "clip": Case("2"),
    "stream_share": Case("1", "clip 2"),
    "emb_lr": Case("0.1"),
    "scheduler": Case("fixed"),
    "warmup_epochs": Case("2"),
    "warmup_lr": Case("0.1", "warmup_epochs 2"),
    "no_aug_epochs": Case("2"),
    "min_lr_ratio": Case("0.5"),
    "milestones": Case("1", "scheduler multistep milestones 3"),
    "pct_start": Case("0.6", "scheduler onecycle"),
    "div_factor": Case("2", "scheduler onecycle"),
    "final_div_factor": Case("2", "scheduler onecycle"),
    "optimizer": Case("ADAMW"),
    "weight_decay": Case("0.5"),
    "momentum": Case("0.5", "optimizer SGD"),
    "clip_grad": Case("0.001"),
    "precision": Case("bf16"),
    "cuda_graphs": Case("True"),
    "ema": Case("False"),
    "overfit_one_batch": Case("True"),
    "freeze_bn": Case("True"),
    "freeze": Case("embedding"),
    "sync_bn": Case("True"),
    "patience": Case("1", "basic_lr_per_img 1e-12 max_epoch 3"),
    "activation_checkpointing": Case("True"),
    # The evaluation.
    "eval_split": Case("train"),
    "eval_interval": Case("5", "max_epoch 3"),
    "eval_initial": Case("True"),
    "eval_proph": Case("True"),
    "eval_both": Case("True"),
    "test_conf": Case("0.6"),
    "nmsthre": Case("0.1"),
    # The output.
    "exp_name": Case("other"),
    "output_dir": Case("OTHER"),
    "cache_dir": Case("OTHER"),
    "cache_gb": Case("1"),
    "print_interval": Case("1"),
    "pictures": Case("True"),
    "save_history_ckpt": Case("True"),
    "max_history": Case("1", "save_history_ckpt True"),
    "ckpt_interval_steps": Case("1"),
}


class Outcome(NamedTuple):
    """What a resumed run leaves: how far it came, its weights and its evaluations."""

    position: tuple[int, int]
    weights: dict[str, Tensor]
    results: dict[str, Any]

    def equals(self, other: Outcome) -> bool:
        return (
            self.position == other.position
            and self.results == other.results
            and all(torch.equal(self.weights[name], other.weights[name]) for name in self.weights)
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    for seed, name in enumerate(("data", "other_data")):
        write_dataset(folder / name, seed)
    return folder


def outcome(run: Path) -> Outcome:
    latest = torch.load(run / "latest_ckpt.pth", weights_only=True)
    results = {path.name: json.loads(path.read_text()) for path in (run / "results").iterdir()}
    weights = {**latest["raw_model"], **{f"ema {k}": v for k, v in latest["model"].items()}}
    return Outcome((latest["epoch"], latest["step"]), weights, results)


@pytest.fixture(scope="module")
def base(folder: Path) -> Callable[[str], tuple[Path, Outcome]]:
    """Return, for the keys of a run, its directory after one epoch, and what resuming it gives."""

    @cache
    def made(keys: str) -> tuple[Path, Outcome]:
        output = folder / f"base {keys}"
        first = f"{keys} max_epoch 1 warmup_epochs 0"  # an epoch has no room for a warm-up
        assert train.main(words(folder, output, first)) == 0
        shutil.copytree(output, folder / f"whole {keys}")
        resumed = words(folder, folder / f"whole {keys}", keys)
        assert train.main([*resumed, "--resume"]) == 0
        return output, outcome(folder / f"whole {keys}" / "run")

    return made


def test_every_key_is_tested() -> None:
    assert CASES.keys() == EventExp.declarations().keys()


@pytest.mark.parametrize("name", CASES)
def test_another_value_does_what_its_declaration_says(
    name: str,
    folder: Path,
    base: Callable[[str], tuple[Path, Outcome]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("easnn.cli.tasks.train.draw_run", lambda *_: [])
    monkeypatch.setattr("easnn.cli.tasks.train.drawing_of", lambda _: lambda _model: {})
    declared, case = EventExp.declarations()[name], CASES[name]
    start, expected = base(case.run)
    output = tmp_path / "out"
    shutil.copytree(start, output)
    checkpoint = output / "run" / "latest_ckpt.pth"
    value = case.value
    if value == "OTHER":
        value = str(folder / "other_data" if name == "data_dir" else tmp_path / "other")
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    capsys.readouterr()
    command = words(folder, output, f"{case.run} {name} {value}")
    code = train.main([*command, "--resume", "-c", str(checkpoint)])
    said = capsys.readouterr().err

    if declared.on_resume.reason or name in NEEDS_GPU:
        assert code == 1
        if name not in NEEDS_GPU:
            experiment = get_exp(EXPERIMENT)
            experiment.merge(case.run.split())
            old = declared.kind.text(getattr(experiment, name))
            new = declared.kind.text(declared.kind.parse(value))
            assert said.splitlines()[-1] == (
                f"error: `{name}` must stay {old} when {checkpoint} is resumed, because "
                f"{declared.on_resume.reason}, but is {new}. Set it as it was, or start a new "
                "run from these weights (-c without --resume)."
            )
        else:
            assert NEEDS_GPU[name] in said
        after = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
        assert after == before
        return
    assert code == 0, said
    run = Path(value if name == "output_dir" else output) / (value if name == "exp_name" else "run")
    assert [name, declared.on_resume.effect] in [
        [line.split()[0], " ".join(line.split()[-n:])]
        for line in said.splitlines()
        for n in (1, 2)
        if line.strip()
    ]
    saved = torch.load(run / "latest_ckpt.pth", weights_only=True)
    assert saved["experiment"]["keys"][name] == declared.kind.plain(declared.kind.parse(value))
    assert name in saved["changes"][0]["settings"]
    found = outcome(run)
    if declared.on_resume is HARMLESS:
        missing = {n: r for n, r in expected.results.items() if n not in found.results}
        assert name in ("exp_name", "output_dir") or not missing
        assert found._replace(results={**missing, **found.results}).equals(expected)
    else:
        assert declared.on_resume is TAKES_EFFECT
        assert not found.equals(expected)
    anew = "The best AP so far" in said
    if name not in ("exp_name", "output_dir", "data_dir"):
        assert anew == declared.scores
        assert anew == (run / "former_best_epoch_1_ckpt.pth").exists()
