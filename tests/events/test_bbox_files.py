"""Box files of both layouts: reading by name, round trips, bad files."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.recfunctions import rename_fields

from easnn.events import (
    BOX_DTYPE,
    MOTION_BOX_DTYPE,
    downsample_boxes,
    read_boxes,
    write_boxes,
)
from easnn.events.bbox_files import LAYOUTS
from easnn.utils.errors import DataError

BOXES = np.array(
    [
        (7, 10.5, -3, 20, 30.25, 1, 5, 1),
        (7, 1, 2, 0, 0, 0, 2**32 - 1, 0.5),
        (9, 300, 200, 40, 50, 255, 0, 0),
    ],
    BOX_DTYPE,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a_bbox.npy"


@pytest.mark.parametrize(
    ("layout", "names", "item_bytes"),
    [
        ("new", ("t", "x", "y", "w", "h", "class_id", "track_id", "class_confidence"), 40),
        ("old", ("ts", "x", "y", "w", "h", "class_id", "confidence", "track_id"), 33),
    ],
)
def test_what_is_written_is_read(path, layout, names, item_bytes):
    write_boxes(path, BOXES, layout=layout)
    stored = np.load(path)
    assert (stored.dtype.names, stored.dtype.itemsize) == (names, item_bytes)
    boxes = read_boxes(path)
    assert boxes.dtype == BOX_DTYPE
    assert np.array_equal(boxes, BOXES)


@pytest.mark.parametrize("layout", ["new", "old"])
def test_no_boxes(path, layout):
    write_boxes(path, BOXES[:0], layout=layout)
    assert (len(read_boxes(path)), read_boxes(path).dtype) == (0, BOX_DTYPE)


@pytest.mark.parametrize("align", [False, True])
def test_fields_are_read_by_name_in_any_order_and_type(path, align):
    fields = [
        ("track_id", "<i2"),
        ("h", "<f8"),
        ("ts", "<u4"),
        ("class_confidence", "<f2"),
        ("x", "<i4"),
    ]
    stored = np.zeros(
        2, np.dtype([*fields, ("class_id", "u1"), ("y", ">f4"), ("w", "<f4")], align=align)
    )
    stored["ts"], stored["x"], stored["y"], stored["w"], stored["h"] = (
        [8, 3],
        [1, 2],
        [3, 4],
        [5, 6],
        [7.5, 8],
    )
    stored["class_id"], stored["track_id"], stored["class_confidence"] = [1, 0], [-1, 4], [0.5, 1]
    np.save(path, stored)
    assert read_boxes(path).tolist() == [(3, 2, 4, 6, 8, 0, 4, 1), (8, 1, 3, 5, 7.5, 1, -1, 0.5)]


def test_sorted_by_time_and_stable(path):
    boxes = np.zeros(6, BOX_DTYPE)
    boxes["t_us"], boxes["track_id"] = [3, 1, 3, 2, 1, 3], np.arange(6)
    write_boxes(path, boxes)
    assert read_boxes(path)["track_id"].tolist() == [1, 4, 3, 0, 2, 5]


def test_published_layouts(golden: Path):
    new = read_boxes(golden / "data/gen1/test/17-03-30_12-53-58_0_60000000_bbox.npy")
    old = read_boxes(golden / "data/gen1/test/17-03-30_12-53-58_1_60000000_bbox.npy")
    assert (len(new), len(old)) == (8, 16)
    assert new[["t_us", "class_id", "track_id", "confidence"]][2].tolist() == (750_000, 1, 1, 1)
    assert old[["t_us", "class_id", "track_id", "confidence"]][1].tolist() == (250_000, 0, 1, 1)
    expected = np.load(golden / "data/gen1_expected.npz")
    boxes = old[old["t_us"] == 500_000]
    rows = np.stack([boxes[name] for name in ("x", "y", "w", "h", "class_id")], axis=1)
    golden_rows = expected[
        "boxes_xywh_cls|17-03-30_12-53-58_1_60000000_r1_a500000"
    ]  # by way of corners
    assert np.allclose(rows, golden_rows, rtol=1e-6)


def test_real_boxes(real: Path):
    boxes = read_boxes(real / "pedro_gen1_layout/train/frame0017525_bbox.npy")
    assert boxes[:2].tolist() == [
        (39_982, 41, 122, 32, 88, 1, 0, 1),
        (39_982, 116, 132, 37, 85, 1, 0, 1),
    ]


def _refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}"):
        read_boxes(path)


def test_missing_file(path):
    _refused(path, "Cannot read {path}: No such file or directory.")


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04 an archive"])
def test_not_an_array_file(path, content):
    path.write_bytes(content)
    _refused(path, "{path} is not a whole .npy file without Python objects: ")


def test_every_cut_of_a_file_is_refused(path):
    write_boxes(path, BOXES)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        _refused(path, "{path} is not a whole .npy file without Python objects: ")


def test_pickled_objects_are_never_loaded(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    _refused(path, "{path} is not a whole .npy file without Python objects: ")


def test_not_structured_or_not_one_dimensional(path):
    np.save(path, np.zeros((3, 5), np.float32))
    _refused(path, "{path} must hold a structured array [N] of boxes, but holds float32 [3, 5].")
    np.save(path, np.zeros((1, 2), BOX_DTYPE))
    _refused(path, "{path} must hold a structured array [N] of boxes, but holds ")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("t x y w h class_id track_id", "t, x, y, w, h, class_id, track_id"),
        ("ts x y w h class_id track_id class_confidence t", None),
        ("t x y w h class_id track_id class_confidence colour", None),
        ("a", "a"),
    ],
)
def test_missing_or_unknown_fields(path, names, found):
    np.save(path, np.zeros(1, [(name, "<f4") for name in names.split()]))
    _refused(
        path,
        "The fields of {path} must be t, x, y, w, h, class_id, track_id, class_confidence or ts, "
        "x, y, w, h, "
        f"class_id, confidence, track_id, but are {found or names.replace(' ', ', ')}.",
    )


def test_fields_that_are_no_numbers(path):
    names = ["t", "x", "y", "w", "h", "class_id", "track_id", "confidence"]
    np.save(path, np.zeros(1, [(name, "S4" if name == "class_id" else "<f4") for name in names]))
    _refused(path, "The field `class_id` of {path} must hold numbers, but holds |S4.")
    np.save(path, np.zeros(1, [(n, "<m8" if n == "class_id" else "<f4") for n in names]))
    _refused(path, "The field `class_id` of {path} must hold numbers, but holds timedelta64.")
    np.save(path, np.zeros(1, [(name, "<f4", (2,) if name == "x" else ()) for name in names]))
    _refused(path, "The field `x` of {path} must hold numbers, but holds ('<f4', (2,)).")


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("x", np.nan, "must have a finite `x`"),
        ("h", np.inf, "must have a finite `h`"),
        ("confidence", -np.inf, "must have a finite `confidence`"),
        ("w", -1, "must not have a negative size"),
        ("h", -0.5, "must not have a negative size"),
        ("t_us", -1, "must not be before 0 µs"),
    ],
)
def test_bad_box_is_named_on_reading_and_writing(path, tmp_path, field, value, rule):
    boxes = BOXES.copy()
    boxes[field][1] = value
    with pytest.raises(DataError, match=f"^Box 1 of {re.escape(str(path))} {rule}, but is t_us="):
        write_boxes(path, boxes)
    np.save(path, rename_fields(boxes, {"t_us": "t"}))
    _refused(path, f"Box 1 of {{path}} {rule}, but is t")


WHOLE = {"t": 1, "x": 2, "y": 3, "w": 4, "h": 5, "class_id": 0, "track_id": 6, "confidence": 1}


@pytest.mark.parametrize(
    ("field", "dtype", "value", "rule"),
    [
        ("t", "<f8", 0.25, "must have a whole number of µs as `t`, but is t=0.25, x=2.0,"),
        ("t", "<u8", 2**63, "must have a `t` of -9223372036854775808 to 9223372036854775807, but"),
        ("t", "<f8", 2.0**63, "must have a `t` of -9223372036854775808 to 9223372036854775807,"),
        ("t", "<f4", np.nan, "must have a finite `t`, but is t=nan,"),
        ("class_id", "<f4", 1.5, "must have a whole number as `class_id`, but is t=1.0,"),
        ("class_id", "<f2", np.inf, "must have a finite `class_id`, but is t=1.0,"),
        ("class_id", "<u4", 2**31, "must have a `class_id` of -2147483648 to 2147483647, but"),
        ("class_id", "<i8", -(2**40), "must have a `class_id` of -2147483648 to 2147483647, but"),
        ("track_id", "<f8", -0.5, "must have a whole number as `track_id`, but is t=1.0,"),
        ("track_id", "<u8", 2**64 - 1, "must have a `track_id` of -9223372036854775808 to "),
        ("w", "<f8", 1e39, "must have a `w` of at most 3.4e+38, but is t=1.0,"),
        ("x", "<f8", -np.inf, "must have a finite `x`, but is t=1.0,"),
        ("confidence", "<f8", np.nan, "must have a finite `confidence`, but is t=1.0,"),
    ],
)
def test_values_that_would_change(path, field, dtype, value, rule):
    fields = [(name, dtype if name == field else "<f4") for name in WHOLE]
    stored = np.array([tuple(WHOLE.values())] * 3, fields)
    np.save(path, stored)
    assert read_boxes(path)["class_id"].tolist() == [0, 0, 0]
    stored[field][2] = value
    np.save(path, stored)
    _refused(path, f"Box 2 of {{path}} {rule}")


def test_a_signalling_nan_is_refused_without_a_warning(path):
    stored = np.array([tuple(WHOLE.values())], [(name, "<f4") for name in WHOLE])
    bits = stored.view("<u4")
    bits[list(WHOLE).index("x")] = 0x7FA00000
    np.save(path, stored)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _refused(path, "Box 0 of {path} must have a finite `x`")


@pytest.mark.parametrize("kept", [0, 5])
def test_boxes_that_end_with_zeros(path, kept):
    stored = np.zeros(20, LAYOUTS["new"])
    stored[:kept]["w"] = 3
    np.save(path, stored)
    _refused(
        path,
        f"The last {20 - kept} of 20 boxes of {{path}} are zero in every byte: the file was not "
        "completely downloaded or copied. Copy it again.",
    )


def test_files_of_the_field(field: Path):
    message = "must have a whole number of µs as `t`, but is t=0.25, "
    with pytest.raises(DataError, match=f"^Box 0 of .*float_seconds_bbox.npy {message}"):
        read_boxes(field / "float_seconds_bbox.npy")
    message = "must have a whole number as `class_id`, but is t=250000, .* class_id=0.9998999"
    with pytest.raises(DataError, match=f"^Box 0 of .*fractional_class_bbox.npy {message}"):
        read_boxes(field / "fractional_class_bbox.npy")


def test_whole_message_of_a_bad_box(path):
    message = (
        f"Box 2 of {path} must have a class_id of 0 to 255 in the old layout, but is t_us=9, "
        "x=300.0, y=200.0, w=40.0, h=50.0, class_id=256, track_id=0, confidence=0.0."
    )
    boxes = BOXES.copy()
    boxes["class_id"][2] = 256
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        write_boxes(path, boxes, layout="old")
    write_boxes(path, boxes, layout="new")
    assert read_boxes(path)["class_id"].tolist() == [1, 0, 256]


def test_values_that_no_layout_holds(path):
    boxes = BOXES.copy()
    boxes["track_id"][0] = -1
    with pytest.raises(
        DataError, match=r"must have a track_id of 0 to 4294967295 in the new layout, but is "
    ):
        write_boxes(path, boxes)
    assert not path.exists()


def test_damaged_bytes_never_raise_anything_else(path):
    write_boxes(path, BOXES)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            read_boxes(path)
        except DataError:
            continue


def _with_motion() -> np.ndarray:
    boxes = np.zeros(len(BOXES), MOTION_BOX_DTYPE)
    for name in BOX_DTYPE.names:
        boxes[name] = BOXES[name]
    boxes["still_s"], boxes["speed"], boxes["visible"] = 0.25, 12.5, 1.0
    boxes["speed"][1] = np.nan  # not known
    return boxes


@pytest.mark.parametrize("layout", ["new", "old"])
def test_motion_follows_the_fields_of_a_layout(path, layout):
    boxes = _with_motion()
    write_boxes(path, boxes, layout=layout)
    stored = np.load(path)
    assert stored.dtype.names == (*LAYOUTS[layout].names, "still_s", "speed", "visible")
    read = read_boxes(path)
    assert read.dtype == MOTION_BOX_DTYPE
    expected = boxes[np.argsort(boxes["t_us"], kind="stable")]
    for name in MOTION_BOX_DTYPE.names:
        assert np.array_equal(read[name], expected[name], equal_nan=name == "speed")
    halved = downsample_boxes(read, 2)
    assert np.array_equal(halved["speed"], read["speed"] / 2, equal_nan=True)
    assert np.array_equal(halved["visible"], read["visible"])


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("still_s", -0.5, "must have a `still_s` of at least 0 and finite, or NaN where it is not"),
        ("speed", np.inf, "must have a `speed` of at least 0 and finite, or NaN where it is not"),
        ("visible", 1.5, "must have a `visible` from 0 to 1, or NaN where it is not known, but is"),
    ],
)
def test_impossible_motion(path, field, value, rule):
    boxes = _with_motion()
    boxes[field][1] = value
    with pytest.raises(DataError, match=f"^Box 1 of {re.escape(str(path))} {rule}"):
        write_boxes(path, boxes)
    np.save(path, rename_fields(boxes, {"t_us": "t"}))
    _refused(path, f"Box 1 of {{path}} {rule}")


def test_a_part_of_the_motion_is_refused(path):
    boxes = rename_fields(_with_motion(), {"t_us": "t"})
    np.save(path, boxes[[name for name in boxes.dtype.names if name != "speed"]])
    _refused(
        path,
        "The fields of {path} must be t, x, y, w, h, class_id, track_id, class_confidence or ts, "
        "x, y, w, h, class_id, confidence, track_id, but are t, x, y, w, h, class_id, track_id, "
        "confidence, still_s, visible. Beside them there may only be all of still_s, speed, "
        "visible.",
    )
