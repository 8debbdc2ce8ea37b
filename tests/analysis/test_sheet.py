from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easnn.analysis import SampleView, sample_sheet, write_picture
from easnn.analysis.palette import class_colour

NAMES = ("car", "pedestrian")


def make_view(
    *, segments: int = 1, labelled: bool = True, sequence: str = "recording"
) -> SampleView:
    rng = np.random.default_rng(0)
    return SampleView(
        sequence=sequence,
        time_us=1_234_567,
        counts=rng.integers(0, 3, (1, 3, 2, 24, 32)).astype(np.uint8),
        written=rng.normal(size=(segments, 2, 20, 26)).astype(np.float32),
        ground_truth=np.array([[0, 4, 4, 10, 8]], np.float32) if labelled else None,
        detections=np.array([[0, 0.9, 5, 4, 10, 8], [1, 0.4, 20, 10, 8, 12]], np.float32),
    )


@pytest.mark.parametrize(
    ("segments", "labelled", "columns", "rows"),
    [(1, True, 2, 2), (1, False, 3, 1), (3, True, 3, 2), (3, False, 3, 2)],
)
def test_panels_are_whole_multiples_of_the_sensor(
    segments: int, labelled: bool, columns: int, rows: int
) -> None:
    height, width, channels = sample_sheet(
        make_view(segments=segments, labelled=labelled), NAMES
    ).shape
    panel_height, panel_width = 24 * 19, 32 * 19  # 600 / 32 rounded
    assert channels == 3
    assert columns * panel_width < width < (columns + 0.5) * panel_width
    assert rows * panel_height < height < (rows + 0.5) * panel_height


def test_large_panels_do_not_stand_in_one_row() -> None:
    small = make_view(labelled=False)
    counts = np.zeros((1, 2, 720, 1280), np.uint8)
    view = SampleView("large", 0, counts, small.written, None, small.detections)
    height, width, _ = sample_sheet(view, NAMES).shape
    assert 2 * 1280 < width < 2.1 * 1280
    assert 2 * 720 < height < 2.5 * 720


def test_boxes_appear_with_the_colour_of_their_class() -> None:
    view = make_view(labelled=False)
    sheet = sample_sheet(view, NAMES)
    assert all((sheet == class_colour(c)).all(axis=2).any() for c in (0, 1))
    nothing = SampleView(
        view.sequence, 0, view.counts, view.written, None, np.zeros((0, 6), np.float32)
    )
    assert not any(
        (sample_sheet(nothing, NAMES) == class_colour(c)).all(axis=2).any() for c in (0, 1)
    )


def test_a_long_name_does_not_widen_the_sheet() -> None:
    assert (
        sample_sheet(make_view(sequence="x" * 500), NAMES).shape
        == sample_sheet(make_view(), NAMES).shape
    )


def test_a_sheet_is_a_png(tmp_path: Path) -> None:
    sheet = sample_sheet(make_view(), NAMES)
    write_picture(tmp_path / "sheet.png", sheet)
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), sheet)
