"""Preprocessing of raw recordings, then training and evaluation, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from easnn.cli import check_data, eval, preprocess, train
from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat

PUBLISHED = (
    "Tl 4 T 3 eval_interval 10 embedding arsnn basic_lr_per_img 0.0000092592593 seed 80 data_name "
    "gen4 data_dir {root} num_classes 3 scheduler fixed spike_attach True thresh 1 readout sum "
    "embedding_depth 2 embedding_ksize 5 write_zero True spike_fn atan aggregation event_sum "
    "use_spike True"
)
"""Keys of the published command for 1Mpx, except for the duration and the processes."""

EVENTS = 100_000

TINY = """\
from easnn.exp import EventExp


class Exp(EventExp):
    def __init__(self):
        super().__init__()
        self.depth, self.width = 0.33, 0.0625
        self.input_size = self.test_size = (64, 128)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of one sequence each: 32×64 pixels, four frames with a car in each."""
    folder = tmp_path_factory.mktemp("rvt")
    for split in ("train", "val"):
        rng = np.random.default_rng(len(split))
        raw = folder / "raw" / split
        raw.mkdir(parents=True)
        x, y, p = (rng.integers(0, side, EVENTS) for side in (128, 64, 2))
        write_dat(
            raw / f"{split}_td.dat",
            pack_events(np.sort(rng.integers(0, 1_000_000, EVENTS)), x, y, p),
            sensor_hw=(64, 128),
        )
        boxes = np.zeros(4, BOX_DTYPE)
        boxes["t_us"] = [700_000, 800_000, 900_000, 1_000_000]
        boxes["x"], boxes["y"], boxes["w"], boxes["h"], boxes["class_id"] = 10, 5, 90, 50, 2
        write_boxes(raw / f"{split}_bbox.npy", boxes)
    assert (
        preprocess.main(["gen4", str(folder / "raw"), str(folder / "tree"), "--processes", "1"])
        == 0
    )
    return folder / "tree"


def test_the_published_command(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.py").write_text(TINY)
    keys = f"max_epoch 1 data_num_workers 0 output_dir {tmp_path} {PUBLISHED.format(root=tree)}"
    options = ["-f", str(tmp_path / "tiny.py"), "-d", "1", "-b", "2", "-expn", "run", "--fp16"]
    assert train.main([*options, *keys.split()]) == 0
    checkpoint = tmp_path / "run" / "best_ckpt.pth"
    capsys.readouterr()
    assert eval.main(["-c", str(checkpoint), "-b", "2", "--eval_proh", "--conf", "0.001"]) == 0
    out = capsys.readouterr().out
    assert "boxes       4" in out
    assert "diagonal < 30 px or a side < 10 px" in out  # half of the limits of 1Mpx
    assert (tmp_path / "run" / "pictures" / "sheet_val_900ms.png").exists()


def test_the_data_are_checked(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    words = ["data_dir", str(tree), "data_name", "gen4"]
    assert check_data.main(["--json", str(report), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["split", "recordings", "histograms", "events"]
    assert lines[2].split()[:3] == ["train", "1", "19"]
    assert lines[-1] == "Training would work. Problems that would not stop it: 1."  # no test split
    train_split = json.loads(report.read_text())["splits"]["train"][0]
    assert (train_split["histograms"], train_split["frames"], train_split["boxes"]) == (
        19,
        4,
        [0, 0, 4],
    )
    assert 0 < train_split["events"] < EVENTS // 4 + 1000
    assert (
        check_data.main([*words, "num_classes", "3"]) == 1
    )  # the default is to make frames from events
    assert "which was preprocessed for RVT, but is micro_sum" in capsys.readouterr().out
    assert check_data.main([*words, "num_classes", "3", "aggregation", "event_sum", "Tl", "4"]) == 0
