"""The survey of recordings; `tests/cli/test_check_data.py` covers the problems that it finds."""

from __future__ import annotations

import numpy as np
import pytest
from caltech_layout import write_image
from raw_layout import write_recording
from rvt_layout import write_sequence

from easnn.data import DATASETS, LabelSource, RecordingFiles
from easnn.data.survey import event_reach_us, survey_recording
from easnn.events import BOX_DTYPE


class VideoSource(LabelSource):
    """Videos, whose format only their author knows."""

    name = "videos"
    class_names = ("bee", "wasp")
    sensor_hw = (24, 32)

    def __init__(self, root, splits):
        super().__init__(root, splits)
        self.recordings = [RecordingFiles("a", self.root / "a.mp4", self.root / "a.csv")]

    def boxes(self, files):
        boxes = np.zeros(3, BOX_DTYPE)
        boxes["t_us"], boxes["class_id"], boxes["w"], boxes["h"] = (
            [5, 5, 9],
            [0, 1, 1],
            4,
            [4, 4, 0],
        )
        return boxes

    def dataset(self, spec, *, num_classes, downsample=1, cache_dir=None):
        raise AssertionError("a survey needs no frames")


def test_of_other_files_only_the_labels_are_read(tmp_path):
    source = VideoSource(tmp_path, ["train", "val"])
    assert (source.splits, source.split) == (("train", "val"), "train+val")
    assert event_reach_us(source, -200, 1) is None
    survey = survey_recording(source, source.recordings[0], None)
    assert (survey.name, survey.frames, survey.boxes, survey.events, survey.digest) == (
        "a",
        2,
        [1, 2],
        0,
        None,
    )
    assert [(problem.kind, problem.where) for problem in survey.problems] == [
        ("boxes without a size", str(tmp_path / "a.csv"))
    ]


@pytest.mark.parametrize(
    ("data_name", "window_ms", "Tl", "reach_us"),
    [
        ("gen1", -200, 1, 600_000),
        ("gen1", 0, 1, None),
        ("n-caltech", -200, 1, None),
        ("gen4", -200, 4, 200_000),
    ],
)
def test_how_long_before_a_label_its_events_may_be(tmp_path, data_name, window_ms, Tl, reach_us):
    if data_name == "gen1":
        write_recording(tmp_path / "train", "a")
    elif data_name == "gen4":
        write_sequence(tmp_path / "train" / "a")
    else:
        write_image(tmp_path, "cup", 1)
    source = DATASETS[data_name].source(tmp_path, "train")
    assert event_reach_us(source, window_ms, Tl) == reach_us
