from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easnn.analysis import write_curves
from easnn.analysis.palette import CURVE_COLOURS
from easnn.utils.errors import DataError


def line(kind: str, iteration: int, **values: Any) -> str:
    return (
        json.dumps({"kind": kind, "iteration": iteration, "epoch": 1 + iteration // 100, **values})
        + "\n"
    )


def draw(run_dir: Path, lines: list[str]) -> np.ndarray:
    """Return the curves of a run whose ``metrics.jsonl`` has these lines; a warning is an error."""
    (run_dir / "metrics.jsonl").write_text("".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = write_curves(run_dir)
    assert path == run_dir / "pictures" / "curves.png"
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def panels(picture: np.ndarray) -> list[np.ndarray]:
    """Return total loss, average precision, parts of the loss and learning rate."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    return [picture[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]


def has_colour(picture: np.ndarray, number: int) -> bool:
    return bool((picture == CURVE_COLOURS[number]).all(axis=2).any())


TRAINING = [
    line(
        "train", i, total_loss=9.0 - i / 50, iou_loss=4, conf_loss=3, cls_loss=1, l1_loss=1, lr=1e-3
    )
    for i in range(10, 310, 10)
]
EVALUATION = [
    line("eval", 100, ap=0.1, ap50=0.3, ap75=0.05),
    line("eval", 200, ap=0.2, ap50=0.4, ap75=0.1),
]


def test_every_panel_has_its_curves(tmp_path: Path) -> None:
    total, precision, parts, rate = panels(draw(tmp_path, TRAINING + EVALUATION))
    for picture, curves in ((total, 1), (precision, 3), (parts, 4), (rate, 1)):
        assert [has_colour(picture, n) for n in range(5)] == [n < curves for n in range(5)]


def test_what_is_no_number_leaves_a_gap(tmp_path: Path) -> None:
    unknown = [
        line("train", 20, total_loss=float("nan"), iou_loss=float("inf"), lr=None),
        line("eval", 20, ap=None, ap50=None, ap75=None),
    ]
    nothing = panels(draw(tmp_path, unknown))
    assert not has_colour(nothing[0], 0)
    few = [
        line("train", i, total_loss=value)
        for i, value in ((10, 2.0), (20, None), (30, 2.0), (40, 2.0))
    ]
    whole = [line("train", i, total_loss=2.0) for i in (10, 20, 30, 40)]
    pixels = [
        (panels(draw(tmp_path, lines))[0] == CURVE_COLOURS[0]).all(axis=2).sum()
        for lines in (few, whole)
    ]
    assert pixels[0] == pytest.approx(pixels[1] / 3, rel=0.1), "one of three stretches is left"


def test_a_run_without_evaluation_and_one_without_anything_are_drawn(tmp_path: Path) -> None:
    assert has_colour(panels(draw(tmp_path, TRAINING))[0], 0)
    assert not has_colour(panels(draw(tmp_path, []))[0], 0)


def test_many_steps_are_smoothed_over_gaps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = [line("train", i, total_loss=5 + rng.normal()) for i in range(400)]
    noisy[100] = line("train", 100, total_loss=None)
    total = (panels(draw(tmp_path, noisy))[0] == CURVE_COLOURS[0]).all(axis=2)
    rows = np.nonzero(total.any(axis=1))[0]
    assert np.ptp(rows) < 0.2 * total.shape[0], (
        "the smoothed curve is nearly level; the raw one is fainter"
    )


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        draw(tmp_path, [*TRAINING, '{"kind": "tr']), draw(tmp_path, TRAINING)
    )


def test_a_byte_order_mark(tmp_path: Path) -> None:
    expected = draw(tmp_path, TRAINING)
    assert np.array_equal(draw(tmp_path, ["\ufeff", *TRAINING]), expected)


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(DataError) as error:
        write_curves(tmp_path)
    assert str(error.value) == (
        f"Cannot read {path}: No such file or directory. Give the directory of a training run."
    )
    with pytest.raises(DataError) as error:
        draw(tmp_path, ["{\n", *TRAINING])
    assert str(error.value).startswith(f"{path}, line 1 is not JSON: ")
    with pytest.raises(DataError) as error:
        draw(tmp_path, [*TRAINING, '{"kind": "train"}\n'])
    assert str(error.value) == (
        f"{path}, line 31 must be an object with `kind`, `iteration` and `epoch`. Remove it."
    )


def test_pyplot_with_its_global_state_is_not_used() -> None:
    package = Path(__file__).resolve().parents[2] / "easnn"
    assert not [path for path in package.rglob("*.py") if "pyplot" in path.read_text()]
