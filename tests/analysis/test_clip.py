from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from easnn.analysis import SampleView, clip_frame, write_clip
from easnn.utils.errors import OutputError


def frames(count: int) -> list[np.ndarray]:
    return [np.full((24, 32, 3), 40 * n, np.uint8) for n in range(count)]


@pytest.mark.parametrize(("fps", "duration_ms"), [(20, 50), (4, 250), (15, 70), (1000, 20)])
def test_a_gif_has_each_frame_for_its_time(tmp_path: Path, fps: float, duration_ms: int) -> None:
    write_clip(tmp_path / "clip.gif", iter(frames(5)), fps)
    with Image.open(tmp_path / "clip.gif") as clip:
        assert clip.n_frames == 5
        assert clip.info["loop"] == 0
        for n in range(5):
            clip.seek(n)
            assert clip.info["duration"] == duration_ms
            np.testing.assert_array_equal(np.asarray(clip.convert("RGB"))[0, 0], [40 * n] * 3)


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.gif", frames(1), 10)
    with Image.open(tmp_path / "clip.gif") as clip:
        assert clip.size == (32, 24)


def test_an_mp4_has_each_frame(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames(5), 10)
    film = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert film.get(cv2.CAP_PROP_FPS) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as error:
        write_clip(tmp_path / "clip.avi", frames(1), 10)
    assert str(error.value) == "The name of a clip must end in `.gif` or `.mp4`, but is `clip.avi`."


def test_frames_of_a_clip_have_one_size() -> None:
    counts = np.zeros((2, 24, 32), np.uint8)
    written = np.zeros((1, 2, 24, 32), np.float32)
    boxes = np.array([[0, 0.9, 5, 4, 10, 8]], np.float32)
    labels = np.array([[0, 4, 4, 10, 8]], np.float32)
    views = (
        SampleView("a", 0, counts, written, None, boxes[:0]),
        SampleView(
            "a much longer name than this picture has room for, indeed",
            10**9,
            counts,
            written,
            labels,
            boxes,
        ),
    )
    empty, full = (clip_frame(view, ("car",)) for view in views)
    assert empty.shape == full.shape
    assert (empty != full).any()
    assert (full == 255).all(axis=2).any(), "labelled boxes are white"


def test_an_mp4_that_is_cut_off_is_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV writes on, without an error, when the disk is full."""
    monkeypatch.setattr(cv2.VideoWriter, "write", lambda _writer, _picture: None, raising=False)
    with pytest.raises(OutputError, match=r"clip\.mp4: only 0 of 5 frames fit into .*Set TMPDIR"):
        write_clip(tmp_path / "clip.mp4", frames(5), 10)
    assert list(tmp_path.iterdir()) == []
