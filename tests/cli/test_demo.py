from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from aedat4_files import aedat4, event_packet
from PIL import Image
from untrained import untrained

from easnn.analysis import open_playback
from easnn.cli.demo import main
from easnn.events import BOX_DTYPE, open_dat, pack_events, write_boxes, write_dat, write_n_mnist
from easnn.inference import Predictor

SENSOR_HW = (24, 40)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a tiny network that was not trained: every score is about 0.0001."""
    return untrained(tmp_path_factory.mktemp("run"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording of 0.4 s that begins at 1 s, with one labelled moment."""
    t_us = np.arange(1_000_000, 1_400_000, 1000)
    numbers = np.arange(len(t_us))
    events = pack_events(t_us, numbers % SENSOR_HW[1], numbers % SENSOR_HW[0], numbers % 2)
    box = np.zeros(1, BOX_DTYPE)
    box["t_us"], box["w"], box["h"] = 1_250_000, 10, 8
    path = tmp_path / "street_td.dat"
    write_dat(path, events, sensor_hw=SENSOR_HW)
    write_boxes(tmp_path / "street_bbox.npy", box)
    return path


def run(checkpoint: Path, recording: Path, output: Path, *options: str) -> int:
    return main(["-c", str(checkpoint), str(recording), "-o", str(output), *options])


def test_one_of_several_streams(checkpoint: Path, recording: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "stereo.aedat4", tmp_path / "out"
    packet = event_packet(open_dat(recording).events())
    path.write_bytes(aedat4({0: "EVTS", 1: "EVTS"}, [(0, packet), (1, packet)]))
    assert run(checkpoint, path, out) == 1
    assert not out.exists()
    assert run(checkpoint, path, out, "--stream", "1", "--sheets", "0", "--duration", "0.1") == 0
    assert len(json.loads((out / "detections.json").read_text())["windows"]) == 2


def test_a_labelled_recording(
    checkpoint: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(checkpoint, recording, out, "--conf", "0", "--nms", "0") == 0
    files = [
        out / name for name in ("sheet_street_1250ms.png", "clip_street.gif", "detections.json")
    ]
    assert sorted(out.iterdir()) == sorted(files)
    contents = json.loads(files[2].read_text())
    windows = contents.pop("windows")
    assert contents == {
        "recording": str(recording),
        "checkpoint": str(checkpoint),
        "sensor_hw": [24, 40],
        "window_ms": -200,
        "step_ms": 50,
        "confidence": 0.0,
        "nms_iou": 0.0,
        "precision": "exact",
        "runtime": "torch",
    }
    assert [window["time_us"] for window in windows] == list(range(1_050_000, 1_400_001, 50_000))
    found = [d for window in windows for d in window["detections"]]
    assert {d["class"] for d in found} <= {"car", "pedestrian"}
    with Image.open(files[1]) as clip:
        assert clip.n_frames == 8
        assert clip.info["duration"] == 50
    printed = capsys.readouterr().out
    for text in ("24x40 pixels (height x width)", "1 boxes", *map(str, files)):
        assert text in printed
    cars = sum(d["class"] == "car" for d in found)
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("car ")] == [
        str(cars)
    ] * (cars > 0)


def test_an_unlabelled_part_as_mp4(
    checkpoint: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "street_bbox.npy").unlink()
    out = tmp_path / "out"
    options = [
        "--start",
        "0.1",
        "--duration",
        "0.2",
        "--step-ms",
        "100",
        "--format",
        "mp4",
        "--sheets",
        "2",
    ]
    assert run(checkpoint, recording, out, *options) == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "clip_street.mp4",
        "detections.json",
        "sheet_street_1200ms.png",
        "sheet_street_1300ms.png",
    ]
    printed = capsys.readouterr().out
    assert "none" in printed
    assert "Nothing was detected." in printed


@pytest.mark.parametrize(
    "words",
    [
        "aggregation voxel_grid",
        "aggregation voxel_cube",
        "aggregation timesurface tau 10",
        "measure timesurface",
    ],
)
def test_every_representation_is_drawn(recording: Path, tmp_path: Path, words: str) -> None:
    out = tmp_path / "out"
    assert run(untrained(tmp_path, words), recording, out, "--sheets", "1", "--sampler") == 0
    for name in ("sheet_street_1250ms.png", "sampler_street_1250ms.png"):
        with Image.open(out / name) as sheet:
            assert len(sheet.getcolors(sheet.width * sheet.height)) > 20
    with Image.open(out / "clip_street.gif") as clip:
        assert clip.n_frames == 8


@pytest.mark.parametrize("changed", [("--fuse",), ("--runtime", "openvino")])
def test_fused_or_in_another_runtime_it_sees_the_same(
    checkpoint: Path, recording: Path, tmp_path: Path, changed: tuple[str, ...]
) -> None:
    if "openvino" in changed:
        pytest.importorskip("openvino")
    scores = []
    for out, options in ((tmp_path / "plain", ()), (tmp_path / "changed", changed)):
        few = ("--conf", "0", "--duration", "0.05", "--sheets", "0")
        assert run(checkpoint, recording, out, *few, *options) == 0
        [window] = json.loads((out / "detections.json").read_text())["windows"]
        scores.append([detection["score"] for detection in window["detections"]])
    assert scores[1] == pytest.approx(scores[0], rel=1e-4)


@pytest.mark.parametrize("suffix", ["_td.dat", ".bin"])
def test_what_the_model_sees_at_half_resolution(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    path = recording.with_name("street" + suffix)
    if suffix == ".bin":
        write_n_mnist(path, open_dat(recording).events())
    ckpt = untrained(tmp_path, "downsample 2")
    playback = open_playback(path, None, Predictor.load(ckpt))
    assert (playback.sensor_hw, playback.recording.sensor_hw) == ((12, 20), (12, 20))
    assert playback.labels[["w", "h"]].tolist() == [(5, 4)]
    assert (
        playback.recording.events()["x"].tolist()
        == (open_dat(recording).events()["x"] // 2).tolist()
    )
    assert run(ckpt, path, tmp_path / "out", "--sheets", "1") == 0
    assert "12x20 pixels (height x width)" in capsys.readouterr().out


def test_the_sampler(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "street_bbox.npy").unlink()
    out = tmp_path / "out"
    ckpt = untrained(tmp_path, "write_zero True slicing window thresh 0.1")
    assert run(ckpt, recording, out, "--sampler", "--sheets", "2", "--step-ms", "100") == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "clip_street.gif",
        "detections.json",
        "sampler.json",
        "sampler_street_1200ms.png",
        "sampler_street_1400ms.png",
        "sheet_street_1200ms.png",
        "sheet_street_1400ms.png",
    ]
    contents = json.loads((out / "sampler.json").read_text())
    assert list(contents) == ["recording", "checkpoint", "sensor_hw", "window_ms", "all", "each"]
    together, (first, second) = contents["all"], contents["each"]
    assert (together["samples"], together["segments"], together["rpd"]) == (2, 1, True)
    assert (first["samples"], first["time_us"], second["time_us"]) == (1, 1_200_000, 1_400_000)
    assert second["slices_ms"] == [[-50, 0], [-100, -50], [-150, -100], [-200, -150]]
    assert len(together["fires_at"]) == 4
    assert sum(together["potential"].values()) == pytest.approx(1)
    assert sum(together["samples_at"]) == pytest.approx(together["segments_per_pixel"])
    with Image.open(out / "sampler_street_1200ms.png") as sheet:
        assert sheet.width == 4 * (40 * 8 + 16) + 16
    printed = capsys.readouterr().out
    for text in ("sampler.json", "sampler_street_1200ms.png", "potential dropped by RPD"):
        assert text in printed


def test_a_dead_sampler(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = untrained(tmp_path, "write_zero True thresh 1000")
    assert run(ckpt, recording, tmp_path / "out", "--sampler", "--sheets", "1") == 0
    assert "The sampler is dead: 100.0% of the active pixels never fire." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (
            "embedding count",
            [],
            "`--sampler` needs an embedding with a membrane (arsnn, rsnn, snn), but that of {ckpt} "
            "is count, which only sums the events. Omit `--sampler`.",
        ),
        (
            "",
            ["--sheets", "0"],
            "`--sheets` must be at least 1 for `--sampler`, but is 0.",
        ),
        (
            "",
            ["--runtime", "compiled"],
            "`--sampler` needs `--runtime torch`, whose modules have the internal states of the "
            "sampler, but it is compiled.",
        ),
    ],
)
def test_no_sampler_to_show(
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: str,
    options: list[str],
    message: str,
) -> None:
    ckpt = untrained(tmp_path, words)
    assert run(ckpt, recording, tmp_path / "out", "--sampler", *options) == 1
    assert capsys.readouterr().err == f"error: {message.format(ckpt=ckpt)}\n"
    assert not (tmp_path / "out").exists()


def test_files_go_beside_the_checkpoint(checkpoint: Path, recording: Path) -> None:
    assert main(["-c", str(checkpoint), str(recording), "--sheets", "0"]) == 0
    files = sorted(file.name for file in (checkpoint.parent / "pictures" / "street").iterdir())
    assert files == ["clip_street.gif", "detections.json"]


def test_a_header_without_geometry(
    checkpoint: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.dat"
    write_dat(bare, open_dat(recording).events())
    assert run(checkpoint, bare, tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "24x40 pixels (height x width)" in printed.out
    assert (
        f"{bare} does not contain the sensor size; the smallest size that contains its events, "
        "24x40 pixels (height x width), is used. Give `sensor_hw` (--sensor-size) if it is larger."
    ) in printed.err
    assert run(checkpoint, bare, tmp_path / "out", "--sensor-size", "30x50") == 0
    assert "30x50 pixels (height x width)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--start", "0.4"], "`--start` must be within the 0.399 s of {recording}, but is 0.4."),
        (
            ["--sensor-size", "24x39"],
            "Event 79 of {recording} must lie inside the sensor, 39×24 pixels, but is "
            "t_us=1079000, x=39, y=7, p=1. If only single events of the file are wrong, drop them "
            "with `drop_invalid` (a key, and an argument in Python) or --drop-invalid.",
        ),
    ],
)
def test_options_that_do_not_fit_the_recording(
    checkpoint: Path,
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    assert run(checkpoint, recording, tmp_path / "out", *options) == 1
    assert capsys.readouterr().err == f"error: {message.format(recording=recording)}\n"


def test_recordings_that_are_none(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "street_td.dat"
    for content, message in (
        (None, f"Cannot read {path}: No such file or directory."),
        (b"", f"{path} is empty (0 bytes). Copy or record it again."),
        (
            b"% Data file\n",
            f"{path} ends after its header: no event type, no event. Copy or record it again.",
        ),
    ):
        if content is not None:
            path.write_bytes(content)
        assert run(checkpoint, path, tmp_path / "out") == 1
        assert capsys.readouterr().err == f"error: {message}\n"
        assert not (tmp_path / "out").exists()


def test_checkpoints_that_are_none(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ckpt.pth"
    for content, message in (
        (None, f"Checkpoint {path} does not exist. Check the path given with -c."),
        (
            b"nonsense",
            f"{path} (8 bytes) is truncated, damaged, or not a checkpoint. Copy it again, or use "
            "another one.",
        ),
    ):
        if content is not None:
            path.write_bytes(content)
        assert run(path, recording, tmp_path / "out") == 1
        assert capsys.readouterr().err == f"error: {message}\n"


def test_a_folder_that_cannot_be_written(
    checkpoint: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(checkpoint, recording, recording / "out") == 1
    assert capsys.readouterr().err == (
        f"error: Cannot write to directory {recording / 'out'}: Not a directory. Choose another "
        "directory or free some space.\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--conf", "1.5", "must be between 0 and 1, but is '1.5'"),
        ("--step-ms", "0.9", "must be at least 1, but is '0.9'"),
        ("--start", "-1", "must be a number that is not negative, but is '-1'"),
        ("--duration", "soon", "must be a number above 0, but is 'soon'"),
        (
            "--sensor-size",
            "240,304",
            "must be height x width in pixels, like 240x304, but is '240,304'",
        ),
    ],
)
def test_values_that_are_none(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["-c", "x", "y", option, value])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: argument {option}: {message}\n")


def test_real_recordings(checkpoint: Path, real: Path, tmp_path: Path) -> None:
    for path in (
        real / "atis_street" / "atis_street_td.dat",
        real / "pedro_gen1_layout" / "val" / "frame0000009_td.dat",
        real / "ncars_dat" / "obj_004211_td.dat",
        real / "recordings" / "evt3_1280x720_driving.raw",
        real / "recordings" / "dvxplorer_320x240.aedat4",
        real / "nmnist_bin" / "sample_nmnist.bin",
    ):
        assert (
            run(checkpoint, path, tmp_path / path.stem, "--duration", "0.1", "--sheets", "1") == 0
        )
        assert len(list((tmp_path / path.stem).iterdir())) == 3
