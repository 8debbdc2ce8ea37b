from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from easnn.cli.preprocess import main
from easnn.data import DATASETS
from easnn.data.rvt.rvt_files import sequence_files
from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat, write_hdf5
from easnn.representations import FrameSpec
from easnn.utils.errors import DataError
from easnn.utils.locks import only_one

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "preprocess.py"
HW = (22, 33)
HISTOGRAMS = Path("event_representations_v2") / "stacked_histogram_dt=50_nbins=10"
LABELS = [
    (100_000, 2, 3, 20, 10, 0),
    (100_000, 9, 9, 9, 9, 5),
    (150_000, 4, 4, 12, 12, 2),
    (200_000, -9, 5, 30, 12, 1),
]
EVENT_SUM = FrameSpec(Tl=2, aggregation="event_sum")


def events_of(seed: int, duration_us: int = 240_000, count: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t_us = np.sort(rng.integers(0, duration_us, count))
    return pack_events(
        t_us,
        rng.integers(0, HW[1], count),
        rng.integers(0, HW[0], count),
        rng.integers(0, 2, count),
    )


def write_raw(
    folder: Path,
    name: str,
    seed: int = 0,
    labels: list[tuple[float, ...]] = LABELS,
    suffix: str = "_td.dat",
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write = write_dat if suffix.endswith(".dat") else write_hdf5
    write(folder / f"{name}{suffix}", events_of(seed), sensor_hw=HW)
    rows = np.zeros(len(labels), BOX_DTYPE)
    for row, values in zip(rows, labels, strict=True):
        for field, value in zip(("t_us", "x", "y", "w", "h", "class_id"), values, strict=True):
            row[field] = value
    rows["track_id"], rows["confidence"] = 7, 0.5
    write_boxes(folder / f"{name}_bbox.npy", rows)


def run(raw: Path, out: Path, *more: str, name: str = "gen4", processes: int = 1) -> int:
    return main([name, str(raw), str(out), "--processes", str(processes), *more])


def table(out: str) -> dict[str, list[str]]:
    """Return the numbers of each split, columns as printed."""
    return {cells[0]: cells[1:] for cells in map(str.split, out.splitlines()[2:])}


def counted(events: np.ndarray, end_us: int) -> np.ndarray:
    """Count the events of a histogram one by one, as RVT's code does."""
    inside = [event for event in events.tolist() if end_us - 50_000 <= event[0] <= end_us]
    counts = np.zeros((20, *HW), int)
    for t, x, y, p in inside:
        position = 10 * (t - inside[0][0]) // max(inside[-1][0] - inside[0][0], 1)
        counts[10 * p + min(position, 9), y, x] += 1
    return counts.clip(max=10)


def test_a_tree_of_1mpx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    assert run(raw, out) == 0
    events = events_of(0)
    read = sum(
        np.count_nonzero(abs(events["t_us"] - middle) <= 25_000)
        for middle in (75_000, 125_000, 175_000)
    )
    numbers = ["1", "1", "0", "0", "0", "2", "2", "3", f"{read:,}"]
    assert table(capsys.readouterr().out) == {"train": numbers}
    folder = out / "train" / "a"
    with h5py.File(folder / HISTOGRAMS / "event_representations_ds2_nearest.h5") as file:
        data = file["data"]
        histograms = data[()]
        assert (data.shape, data.maxshape, data.dtype) == (
            (3, 20, 11, 16),
            (None, 20, 11, 16),
            np.uint8,
        )
        assert data.chunks == (1, 20, 11, 16)
        stored = data.id.get_create_plist()
        assert (stored.get_nfilters(), stored.get_filter(0)[0]) == (1, 32_001)
        assert stored.get_filter(0)[2][4:7] == (1, 1, 5)  # level, byte shuffle, zstd
    expected = [counted(events, end_us)[:, 1::2, 1::2] for end_us in (100_000, 150_000, 200_000)]
    np.testing.assert_array_equal(histograms, expected)
    assert np.load(folder / HISTOGRAMS / "timestamps_us.npy").tolist() == [
        100_000,
        150_000,
        200_000,
    ]
    assert np.load(folder / HISTOGRAMS / "objframe_idx_2_repr_idx.npy").tolist() == [0, 2]
    assert np.load(folder / "labels_v2" / "timestamps_us.npy").tolist() == [100_000, 200_000]
    with np.load(folder / "labels_v2" / "labels.npz") as labels:
        assert labels["objframe_idx_2_label_idx"].tolist() == [0, 1]
        assert labels["labels"].dtype.names == (
            *"txywh",
            "class_id",
            "class_confidence",
            "track_id",
        )
        assert labels["labels"].tolist() == [
            (100_000, 2, 3, 20, 10, 0, 0.5, 7),
            (200_000, 0, 5, 21, 12, 1, 0.5, 7),
        ]
    assert sorted(path.name for path in out.rglob("*") if path.name.startswith(".")) == []


def test_the_tree_is_read(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "val", "a")
    assert run(raw, out) == 0
    dataset = DATASETS["gen4"].source(out, ["val"]).dataset(EVENT_SUM, num_classes=3)
    frame = dataset.load(1)
    expected = [counted(events_of(0), end_us)[:, 1::2, 1::2] for end_us in (150_000, 200_000)]
    np.testing.assert_array_equal(
        frame.events[:, 0], np.array(expected).reshape(2, 2, 10, 11, 16).sum(axis=2)
    )
    assert frame.boxes.tolist() == [[1, 0, 2.5, 10.5, 6]]


def test_a_tree_of_gen1(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    labels = [(150_000, 2, 1, 29, 11, 0), (150_000, 2, 1, 20, 20, 1), (400_000, 0, 0, 31, 20, 1)]
    for split in ("train", "val"):
        write_raw(raw / split, split, labels=labels)
    write_raw(raw / "train", "17-04-06_15-14-36_1159500000_1219500000")
    assert run(raw, out, name="gen1") == 0
    for split, times_us in (
        ("train", [150_000]),
        ("val", [150_000, 400_000]),
    ):  # 31 is too wide in training
        folder = out / split / split
        assert np.load(folder / "labels_v2" / "timestamps_us.npy").tolist() == times_us
        with h5py.File(folder / HISTOGRAMS / "event_representations.h5") as file:
            ends_us = range(100_000, times_us[-1] + 1, 50_000)
            np.testing.assert_array_equal(
                file["data"][()], [counted(events_of(0), end_us) for end_us in ends_us]
            )
    assert [path.name for path in (out / "train").iterdir()] == ["train"]


def test_any_number_of_processes_makes_the_same_and_names_bad_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    write_raw(raw / "train", "a", 1)
    write_raw(raw / "train", "b", 2, suffix="_td.dat.h5")
    write_raw(raw / "train", "bad", 2)
    write_raw(raw / "val", "c", 3, suffix="_td.h5")
    bad = raw / "train" / "bad_td.dat"
    bad.write_bytes(bad.read_bytes()[:-3])
    for processes in (1, 2):
        assert run(raw, tmp_path / str(processes), processes=processes) == 1
        printed = capsys.readouterr()
        assert f"failed: {bad} is cut off, or not a DAT file: after 3999 events" in printed.err
        assert printed.err.endswith(
            "error: 1 of 4 recordings could not be preprocessed, see above.\n"
        )
        rows = table(printed.out)
        assert (rows["train"][:5], rows["val"][:5]) == (
            ["3", "2", "0", "0", "1"],
            ["1", "1", "0", "0", "0"],
        )
    files = sorted(
        path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file()
    )
    assert {file.parts[1] for file in files if file.parent.name} == {"a", "b", "c"}
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_recordings_without_labels_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    write_raw(raw / "train", "none", labels=[])
    write_raw(raw / "train", "early", labels=[(99_999, 2, 3, 20, 10, 0)])
    write_raw(raw / "train", "dropped", labels=[(150_000, 2, 3, 20, 10, 6)])
    assert run(raw, out) == 0
    assert table(capsys.readouterr().out)["train"][:5] == ["4", "1", "0", "3", "0"]
    assert [path.name for path in (out / "train").iterdir()] == ["a"]


def test_finished_sequences_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    assert run(raw, out) == 0
    file = out / "train" / "a" / HISTOGRAMS / "event_representations_ds2_nearest.h5"
    before = file.stat()
    write_raw(raw / "train", "b", 1)
    partial = out / "train" / ".b.partial"  # of a run that was killed
    partial.mkdir()
    (partial / "rest").touch()
    capsys.readouterr()
    assert run(raw, out) == 0
    assert table(capsys.readouterr().out)["train"][:5] == ["2", "1", "1", "0", "0"]
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(path.name for path in (out / "train").iterdir()) == ["a", "b"]


def test_another_sequence_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    write_raw(raw / "train", "b")
    assert run(raw, out) == 0
    write_raw(raw / "train", "a", labels=LABELS[:1])
    (out / "train" / "b" / "labels_v2" / "labels.npz").unlink()
    capsys.readouterr()
    assert run(raw, out) == 1
    advice = "Remove it, or write to another folder."
    err = capsys.readouterr().err
    assert (
        f"failed: {out}/train/a exists already, with other labels or histograms. {advice}\n" in err
    )
    assert (
        f"failed: {out}/train/b exists already, but without {out}/train/b/labels_v2/labels.npz. "
        f"{advice}\n" in err
    )
    assert err.endswith("error: 2 of 2 recordings could not be preprocessed, see above.\n")


def test_events_outside_of_the_sensor_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    write_dat(raw / "train" / "a_td.dat", pack_events([60_000, 190_000], [1, 99], [1, 1], [0, 1]))
    (raw / "dataset.json").write_text('{"sensor_hw": [22, 33]}')
    assert run(raw, out) == 1
    assert "failed: Event 1 of" in capsys.readouterr().err
    assert list((out / "train").iterdir()) == []
    assert run(raw, out, "--drop-invalid") == 0
    sequence = sequence_files(out / "train" / "a", halved=True)
    with h5py.File(sequence.events_path) as file:
        assert file["data"][:].sum() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["{raw}", "{raw}"],
            "Nothing can be written to {raw}, because it is in {raw}, which is read. Choose a "
            "folder outside of it.",
        ),
        (
            ["{raw}", "{raw}/train/../new"],
            "Nothing can be written to {raw}/train/../new, because it is in {raw}, which is read. "
            "Choose a folder outside of it.",
        ),
        (["{raw}", "{out}", "--processes", "0"], "`--processes` must be at least 1, but is 0."),
        (
            ["{raw}", "{out}", "--splits", "train,val"],
            "{raw}/val is not a folder. Expected are the",
        ),
        (["{out}", "{raw}"], "{out} is not a folder. Expected are the recordings of each split in"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    names = {"raw": tmp_path / "raw", "out": tmp_path / "out"}
    write_raw(names["raw"] / "train", "a")
    assert main(["gen4", *(argument.format(**names) for argument in arguments)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message.format(**names)}")
    assert not names["out"].exists()


def test_two_files_of_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_raw(tmp_path / "raw" / "train", "a")
    write_raw(tmp_path / "raw" / "train", "a", suffix="_td.h5")
    assert run(tmp_path / "raw", tmp_path / "out") == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/raw/train has 1 recording with more than one file of events: a. Keep "
        "one beside its NAME_bbox.npy.\n"
    )


def test_declared_classes_go_with_the_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a", labels=[(150_000, 2, 3, 20, 10, 3)])
    (raw / "dataset.json").write_text('{"class_names": ["a", "b", "c", "d"], "complete": true}')
    assert run(raw, out) == 0
    dataset = DATASETS["gen4"].source(out, ["train"]).dataset(EVENT_SUM, num_classes=4)
    assert dataset.class_names == ("a", "b", "c", "d")
    assert run(raw, out) == 0
    (raw / "dataset.json").write_text('{"class_names": ["a", "b", "c", "D"]}')
    capsys.readouterr()
    assert run(raw, out) == 1
    assert capsys.readouterr().err == (
        f"error: {out} has other classes than {raw}: a, b, c, D. Choose another folder.\n"
    )


def test_all_classes_of_1mpx(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    for _ in range(2):
        assert run(raw, out, name="gen4-all") == 0
    for name in ("gen4", "gen4-all"):  # the folder says which classes it has
        dataset = DATASETS[name].source(out, ["train"]).dataset(EVENT_SUM, num_classes=7)
        assert dataset.class_names == DATASETS["gen4-all"].class_names
        assert dataset.load(0).boxes.tolist() == [[0, 1, 1.5, 10, 5], [5, 4.5, 4.5, 4.5, 4.5]]


def test_interrupt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    with monkeypatch.context() as patch:
        patch.setattr(np, "bincount", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        assert run(raw, out) == 130
    assert capsys.readouterr().err.endswith("Interrupted. Repeat the command to resume.\n")
    assert list((out / "train").iterdir()) == []
    assert run(raw, out) == 0


@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_a_run_that_is_killed_goes_on(tmp_path: Path, victim: str) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    labels = [(100_000 + 100_000 * n, 2, 3, 20, 10, 0) for n in range(1500)]  # 3000 histograms
    for name in "ab":
        write_raw(raw / "train", name, labels=labels)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "gen4", str(raw), str(out), "--processes", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (writers := _writers(out)) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(writers[0] if victim == "worker" else process.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    if victim == "worker":
        assert process.returncode == 1
        assert err.endswith(
            "error: A process was killed, perhaps because memory ran out. Repeat the command with "
            "fewer --processes: it resumes where it stopped.\n"
        )
        assert list(out.glob("train/.*")) == []
    while _writers(out):  # they notice that their parent is gone
        time.sleep(0.1)
    with pytest.raises(DataError) as caught:
        DATASETS["gen4"].source(out, ["train"])
    assert str(caught.value) == (
        f"{out}/dataset.json says that this dataset is not complete: the command that makes it "
        "was interrupted. Repeat it, and it resumes where it stopped."
    )
    assert run(raw, out) == 0
    assert sorted(path.name for path in (out / "train").iterdir()) == ["a", "b"]
    dataset = DATASETS["gen4"].source(out, ["train"]).dataset(EVENT_SUM, num_classes=3)
    assert len(dataset) == 3000


def _writers(out: Path) -> list[int]:
    """Return the processes that have a file of a sequence in ``out`` open."""
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()).startswith(f"{out}/train/"):
                found.append(int(descriptor.parts[2]))
        except OSError:  # the process or its file is gone
            continue
    return found


def test_nothing_that_the_filters_keep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    write_raw(raw / "train", "none", labels=[])
    assert run(raw, tmp_path / "out") == 1
    assert capsys.readouterr().err.endswith(
        f"error: No recording of {raw} has a label that the filters of gen4 keep, so no "
        "sequence was written. Check that it is this dataset (`easnn check-data` counts its "
        "boxes).\n"
    )


def test_one_run_at_a_time_for_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw / "train", "a")
    out.mkdir()
    with only_one(out):
        assert run(raw, out) == 1
    assert capsys.readouterr().err == (
        f"error: Another process is preprocessing to {out}. Wait until it ends, or write to "
        "another folder.\n"
    )
    assert list((out / "train").iterdir()) == []
    assert run(raw, out) == 0


def test_a_damaged_first_recording_does_not_keep_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    for number, name in enumerate("ab"):
        write_raw(raw / "train", name, number)
    first = raw / "train" / "a_td.dat"
    first.write_bytes(first.read_bytes()[:-3])
    assert run(raw, tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert printed.err.endswith("error: 1 of 2 recordings could not be preprocessed, see above.\n")
    assert table(printed.out)["train"][:5] == ["2", "1", "0", "0", "1"]
