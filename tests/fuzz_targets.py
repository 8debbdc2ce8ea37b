"""What is fuzzed: everything that reads files or words which others have written.

A target writes one or more valid inputs, and reads a changed one. Whatever the input is, reading
either succeeds or raises an ``EasnnError``.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE / folder) for folder in ("events", "data")]

from aedat4_files import aedat4, event_packet  # noqa: E402
from caltech_layout import line_of, write_image  # noqa: E402
from evt_files import NEW_HEADER, encode_evt2, encode_evt3, encode_evt21  # noqa: E402
from raw_layout import write_recording  # noqa: E402
from rvt_layout import HALVED, HISTOGRAMS, open_rvt, write_sequence  # noqa: E402
from untrained import untrained  # noqa: E402

from easnn.checkpoints import Checkpoint  # noqa: E402
from easnn.data import DATASETS  # noqa: E402
from easnn.evaluation import (  # noqa: E402
    FrameResult,
    build_evaluator,
    read_detections,
    read_ground_truth,
    write_detections,
)
from easnn.events import (  # noqa: E402
    BOX_DTYPE,
    MOTION_BOX_DTYPE,
    open_recording,
    pack_events,
    read_boxes,
    write_boxes,
    write_dat,
    write_hdf5,
    write_n_mnist,
    write_npz,
)
from easnn.exp import EventExp, ExperimentRecord  # noqa: E402
from easnn.representations import FrameSpec  # noqa: E402
from easnn.sweep import read_sweep  # noqa: E402

HW = (24, 40)
RNG = np.random.default_rng(0)
EVENTS = pack_events(
    np.sort(RNG.integers(0, 300_000, 600)),
    RNG.integers(0, 40, 600),
    RNG.integers(0, 24, 600),
    RNG.integers(0, 2, 600),
)
REAL = ("recordings/evt3_1280x720_driving.raw", "recordings/evt2_640x480.raw")


@dataclass(frozen=True)
class Target:
    """Something that reads.

    Attributes:
        name: its name in the table.
        write: writes valid input to an empty folder and returns the file that is changed.
        read: reads the input, given that file.
        share: how many inputs it gets of those of the fastest targets.
    """

    name: str
    write: Callable[[Path], Path]
    read: Callable[[Path], None]
    share: float = 1.0


def _recording(file: str, write: Callable[[Path], object], share: float = 1.0) -> Target:
    def write_to(folder: Path) -> Path:
        write(folder / file)
        return folder / file

    return Target(file, write_to, _read_recording, share)


def _read_recording(path: Path) -> None:
    for sensor_hw, drop_invalid in ((None, False), (HW, True), ((720, 1280), False)):
        recording = open_recording(path, sensor_hw=sensor_hw, drop_invalid=drop_invalid)
        if sensor_hw is None and drop_invalid:
            continue
        events = recording.events()
        middle_us = (recording.first_us + recording.last_us) // 2
        first = recording.window(recording.first_us, middle_us)
        second = recording.window(middle_us, recording.last_us + 1)
        assert len(events) == len(recording), "its length is that of its events"
        assert np.array_equal(np.concatenate([first, second]), events), "windows give all events"
        assert (np.diff(events["t_us"]) >= 0).all(), "times are in order"
        recording.late_events()


def _raw(encoding: str, encode: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    content = NEW_HEADER.format(encoding).encode() + encode(EVENTS).tobytes()
    return lambda path: path.write_bytes(content)


def _bare_dat(path: Path) -> None:
    write_dat(path, EVENTS)
    path.write_bytes(path.read_bytes()[-8 * len(EVENTS) :])


def _dsec(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("t_us", "x", "y", "p"):
            compression = "gzip" if name == "x" else None
            file.create_dataset(
                f"events/{name[0]}", data=EVENTS[name], chunks=(200,), compression=compression
            )
        file["ms_to_idx"] = np.searchsorted(EVENTS["t_us"], np.arange(0, 301_000, 1000))
        file["t_offset"] = 5


def _aedat4(path: Path) -> None:
    packets = [(3, b"other"), (0, event_packet(EVENTS[:300])), (0, event_packet(EVENTS[300:]))]
    path.write_bytes(aedat4({0: "EVTS", 3: "BBOX"}, packets, index=True))


def _write_boxes(folder: Path, dtype: np.dtype = BOX_DTYPE) -> Path:
    boxes = np.zeros(5, dtype)
    boxes["t_us"], boxes["w"], boxes["h"] = [1, 2, 3, 4, 5], 6, 7
    write_boxes(folder / "a_bbox.npy", boxes)
    return folder / "a_bbox.npy"


def _write_caltech(folder: Path) -> None:
    for number in (1, 2):
        write_image(folder, "cup", number)
    (folder / "train.txt").write_text(line_of("cup", 1) + line_of("cup", 2))


def _write_list(folder: Path) -> Path:
    _write_caltech(folder)
    return folder / "train.txt"


def _write_annotation(folder: Path) -> Path:
    _write_caltech(folder)
    return folder / "Caltech101_annotations" / "cup" / "annotation_0001.bin"


def _read_list(path: Path) -> None:
    _load(path.parent, "n-caltech", FrameSpec(window=0, Tm=2), 100)


def _read_annotation(path: Path) -> None:
    _load(path.parents[2], "n-caltech", FrameSpec(window=0, Tm=2), 100)


def _load(root: Path, data_name: str, spec: FrameSpec, num_classes: int) -> None:
    """Read a dataset; no path may lead out of its folder."""
    source = DATASETS[data_name].source(root, ["train"])
    for files in source.recordings:
        for path in (files.events_path, files.boxes_path):
            assert path.resolve().is_relative_to(root.resolve()), f"{path} is outside"
    dataset = source.dataset(spec, num_classes=num_classes)
    for number in range(len(dataset)):
        dataset.load(number)


def _write_dataset_json(folder: Path) -> Path:
    write_recording(folder / "train", "a", sensor_hw=None)
    path = folder / "dataset.json"
    path.write_text('{"class_names": ["cup", "hand"], "sensor_hw": [24, 32], "complete": true}')
    return path


def _read_dataset_json(path: Path) -> None:
    _load(path.parent, "gen1", FrameSpec(window=-20, Tm=2), 2)


def _sequence(name: str) -> Target:
    def write(folder: Path) -> Path:
        write_sequence(folder / "train" / "a")
        return folder / "train" / "a" / name

    def read(path: Path) -> None:
        dataset = open_rvt(path.parents[len(Path(name).parts) + 1])
        for number in range(len(dataset)):
            dataset.load(number)

    return Target(f"RVT {Path(name).name}", write, read)


def _write_checkpoint(folder: Path) -> Path:
    return untrained(folder)


def _read_checkpoint(path: Path) -> None:
    Checkpoint(path).experiment()


def _write_record(folder: Path) -> Path:
    """Write the entries of a record: a line of a key and its value as JSON for each."""
    experiment = EventExp()
    experiment.merge(["data_dir", "nowhere"])
    record = ExperimentRecord.of(experiment).plain()
    keys = record.pop("keys")
    lines = [f"{name} {json.dumps(value)}\n" for name, value in {**record, **keys}.items()]
    (folder / "record.txt").write_text("".join(lines))
    return folder / "record.txt"


def _read_record(path: Path) -> None:
    keys: dict[str, object] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(" ")
        try:
            keys[name] = json.loads(value)
        except (ValueError, RecursionError):  # a checkpoint could hold any text
            keys[name] = value
    fields = {field.name for field in dataclasses.fields(ExperimentRecord)}
    stored = {name: keys.pop(name) for name in fields & keys.keys()}
    ExperimentRecord.read({**stored, "keys": keys}, path).experiment(path)


def _write_words(folder: Path) -> Path:
    words = (
        "data_name gen1 data_dir /data width 0.5 T 3 Tm 4 input_size 256,320 use_spike True "
        "train_splits train,val scale_range 0.4,1 embedding arsnn spike_fn atan patience 3 "
        "milestones 3,5 window -200 thresh 0.3 drop_invalid True precision bf16 seed 1"
    )
    (folder / "words.txt").write_text(words)
    return folder / "words.txt"


def _read_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    experiment = EventExp()
    experiment.merge(words)
    experiment.validate()
    experiment.detector_config()


def _write_sweep(folder: Path) -> Path:
    (folder / "sweep.toml").write_text(
        'experiment = "e-yolox-demo"\nseeds = [1, 2]\n[keys]\nmax_epoch = 2\nwidth = 0.125\n'
        '[variants.plain]\nembedding = "count"\n[grid]\nthresh = [0.2, 0.4]\n'
    )
    return folder / "sweep.toml"


def _write_scored(name: str) -> Callable[[Path], Path]:
    """Return a function that writes COCO results and ground truth; ``name`` is changed."""

    def write(folder: Path) -> Path:
        boxes, found = [(0, 1.0, 2.0, 9.0, 8.0)], [(0, 0.5, 1.0, 2.0, 9.0, 8.0)]
        frames = [FrameResult(n, 600_000 + n, "a", boxes, found) for n in range(3)]
        write_detections(folder / "found.json", frames, ("car",), HW, {})
        return folder / name

    return write


def _read_scored(path: Path) -> None:
    truth = read_ground_truth(path.parent / "found_ground_truth.json")
    evaluator = build_evaluator("coco", truth.class_names, split="a", sensor_hw=HW)
    evaluator.process(read_detections(path.parent / "found.json", truth))
    evaluator.evaluate()


TARGETS = (
    _recording("typed.dat", lambda path: write_dat(path, EVENTS, sensor_hw=HW)),
    _recording("bare.dat", _bare_dat),
    _recording("evt2.raw", _raw("EVT2", encode_evt2)),
    _recording("evt21.raw", _raw("EVT21", encode_evt21)),
    _recording("evt3.raw", _raw("EVT3", encode_evt3)),
    _recording("columns.h5", lambda path: write_hdf5(path, EVENTS, sensor_hw=HW), 0.3),
    _recording("dsec.h5", _dsec, 0.3),
    _recording("a.npz", lambda path: write_npz(path, EVENTS, sensor_hw=HW)),
    _recording("a.bin", lambda path: write_n_mnist(path, EVENTS)),
    _recording("a.aedat4", _aedat4, 0.01),
    Target("_bbox.npy", _write_boxes, lambda path: read_boxes(path) is None or None),
    Target(
        "_bbox.npy with motion",
        lambda folder: _write_boxes(folder, MOTION_BOX_DTYPE),
        lambda path: read_boxes(path) is None or None,
    ),
    Target("COCO ground truth", _write_scored("found_ground_truth.json"), _read_scored, 0.1),
    Target("COCO results", _write_scored("found.json"), _read_scored, 0.1),
    Target("annotation.bin", _write_annotation, _read_annotation),
    Target("split list", _write_list, _read_list),
    Target("dataset.json", _write_dataset_json, _read_dataset_json),
    _sequence(str(HISTOGRAMS / HALVED)),
    _sequence(str(HISTOGRAMS / "timestamps_us.npy")),
    _sequence(str(HISTOGRAMS / "objframe_idx_2_repr_idx.npy")),
    _sequence("labels_v2/labels.npz"),
    Target("checkpoint", _write_checkpoint, _read_checkpoint, 0.03),
    Target("experiment record", _write_record, _read_record),
    Target("key value words", _write_words, _read_words),
    Target("sweep file", _write_sweep, lambda path: read_sweep(path) is None or None, 0.1),
)
