"""The worked example of a dataset of one's own, from `docs/data.md`, through the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from easnn.cli import check_data, train
from easnn.cli import eval as evaluation
from easnn.events import pack_events, write_npz

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"
SMALL = ["width", "0.0625", "embedding_ksize", "3", "input_size", "64,64", "test_size", "64,64"]
KEYS = [*SMALL, "data_num_workers", "0", "max_epoch", "1", "pictures", "False", "seed", "1"]


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write the experiment file of the docs and two recordings for each split."""
    monkeypatch.chdir(tmp_path)
    code = re.search(
        r"test_own_dataset.py runs this -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL
    )
    assert code is not None
    Path("bees.py").write_text(code[1])
    for number, split in enumerate(("train", "train", "val", "val", "test", "test")):
        rng = np.random.default_rng(number)
        folder = Path("datasets/bees") / split
        folder.mkdir(parents=True, exist_ok=True)
        columns = (
            np.sort(rng.integers(0, 400_000, 2000)),
            *(rng.integers(0, n, 2000) for n in (240, 180, 2)),
        )
        write_npz(folder / f"flight{number}.npz", pack_events(*columns))
        (folder / f"flight{number}.csv").write_text(
            "300000,20,30,50,40,1\n200000,100.5,90,60,50,0\n"
        )
    return "bees.py"


def test_the_example_is_checked_trained_and_evaluated(
    experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_data.main(["-f", experiment]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert ["bee", "2", "2", "2"] in rows
    assert train.main(["-f", experiment, "-b", "2", *KEYS]) == 0
    best = "YOLOX_outputs/bees/best_ckpt.pth"
    assert (
        evaluation.main(
            ["-f", experiment, "-c", best, "--test", "--cache", *KEYS, "cache_dir", "kept"]
        )
        == 0
    )
    result = json.loads(Path("YOLOX_outputs/bees/results/best_ckpt_test_coco.json").read_text())
    assert result["counts"]["frames"] == 4
    assert [(c["name"], c["boxes"]) for c in result["per_class"]] == [("bee", 2), ("wasp", 2)]
    capsys.readouterr()
    assert evaluation.main(["-c", best]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(
        f"error: {best} was trained with the experiment file {Path(experiment).resolve()}"
    )
    assert message.endswith("which defines dataset_kind. Give this file with -f.")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("300000,20,30\n1,2\n", "datasets/bees/val/flight2.csv cannot be read: "),
        ("300000,20,30,50,40\n", "datasets/bees/val/flight2.csv cannot be read: "),
        (
            "300000,20,30,50,40,2\n",
            "The class ids in datasets/bees/val/flight2.csv must be 0 to 1 (bee, wasp), but 1 of 1 "
            "boxes have others, like 2. Remove these boxes, or declare all classes as "
            "`class_names`.",
        ),
        (
            "300000,20,30,50,40,-1\n",
            "The class ids in datasets/bees/val/flight2.csv must be 0 to 1 (bee, wasp), but 1 of 1 "
            "boxes have others, like -1. Remove these boxes, or declare all classes as "
            "`class_names`.",
        ),
        (
            "300000,20,nan,50,40,1\n",
            "The boxes of datasets/bees/val/flight2.csv must be finite, but one at 300000 µs is "
            "x=20, y=nan, w=50, h=40. ",
        ),
    ],
)
def test_what_is_wrong_with_it_is_found(
    experiment: str, capsys: pytest.CaptureFixture[str], lines: str, fault: str
) -> None:
    Path("datasets/bees/val/flight2.csv").write_text(lines)
    assert check_data.main(["-f", experiment]) == 1
    printed = capsys.readouterr().out
    assert f"ERROR: unreadable labels: 1\n  datasets/bees/val/flight2.csv: {fault}" in printed


def test_boxes_that_are_not_sorted(experiment: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(experiment)
    path.write_text(
        path.read_text().replace('boxes[np.argsort(boxes["t_us"], kind="stable")]', "boxes")
    )
    assert train.main(["-f", experiment, "-b", "2", *KEYS]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: The boxes of datasets/bees/train/flight0.csv must come sorted by time, but one at "
        "300000 µs is followed by one at 200000 µs. Sort them where they are read."
    )


@pytest.mark.filterwarnings("ignore:loadtxt")  # which says that the file is empty
def test_a_recording_without_boxes(experiment: str) -> None:
    Path("datasets/bees/val/flight2.csv").write_text("")
    assert check_data.main(["-f", experiment]) == 0
