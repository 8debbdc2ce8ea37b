from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from aedat4_files import aedat4, event_packet

from easnn.cli.convert_events import main
from easnn.events import open_dat, open_hdf5, open_recording, pack_events, write_dat, write_npz

EVENTS = pack_events([10, 20, 3_000_000], [1, 39, 3], [0, 23, 5], [0, 1, 1])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.npz"
    write_npz(path, EVENTS, sensor_hw=(24, 40))
    return path


def test_to_dat_and_hdf5_and_back(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dat, h5, again = tmp_path / "a_td.dat", tmp_path / "a.h5", tmp_path / "b_td.dat"
    assert main([str(source), str(dat)]) == 0
    assert capsys.readouterr().out == f"{dat}: 3 events, 3.000 s, sensor 24x40 (height x width)\n"
    assert np.array_equal(open_dat(dat).events(), EVENTS)
    assert open_dat(dat).sensor_hw == (24, 40)
    assert main([str(dat), str(h5)]) == 0
    assert np.array_equal(open_hdf5(h5).events(), EVENTS)
    assert main([str(h5), str(again)]) == 0
    assert again.read_bytes() == dat.read_bytes()


def test_other_size_and_times_from_zero(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.hdf5"
    assert main([str(source), str(output), "--sensor-size", "30x50", "--from-zero"]) == 0
    recording = open_recording(output)
    assert recording.sensor_hw == (30, 50)
    assert recording.events()["t_us"].tolist() == [0, 10, 2_999_990]


def test_one_of_several_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "a.aedat4", tmp_path / "a.h5"
    packets = [(0, event_packet(EVENTS)), (1, event_packet(EVENTS[:2]))]
    source.write_bytes(aedat4({0: "EVTS", 1: "EVTS"}, packets))
    assert main([str(source), str(output)]) == 1
    assert capsys.readouterr().err == (
        f"error: {source} has 2 streams of events: 0 (40×24, Camera_0) and 1 (40×24, Camera_1). "
        "Choose one with --stream N of `easnn convert-events` or `easnn demo` (`stream` in "
        "Python).\n"
    )
    assert main([str(source), str(output), "--stream", "1"]) == 0
    assert np.array_equal(open_hdf5(output).events(), EVENTS[:2])


def test_events_outside_of_the_sensor_are_dropped_on_request(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.h5"
    assert main([str(source), str(output), "--sensor-size", "24x39", "--drop-invalid"]) == 0
    assert capsys.readouterr().out == (
        f"{output}: 2 events, 3.000 s, sensor 24x39 (height x width); 1 events outside of the "
        "sensor were dropped\n"
    )
    assert np.array_equal(open_hdf5(output).events(), EVENTS[[0, 2]])


def test_size_that_nothing_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dat(tmp_path / "a.dat", EVENTS)
    assert main([str(tmp_path / "a.dat"), str(tmp_path / "a.h5")]) == 0
    assert "sensor unknown (height x width)" in capsys.readouterr().out
    assert open_hdf5(tmp_path / "a.h5").sensor_hw is None


def test_no_file_is_replaced(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.dat"
    output.write_text("mine")
    assert main([str(source), str(output)]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {output} exists already. Choose another name or remove it.\n"
    )
    assert output.read_text() == "mine"


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("a.raw", [], "The name of the output must end in .dat, .h5, .hdf5, but is 'a.raw'."),
        (
            "a.dat",
            ["--sensor-size", "24x39"],
            "Event 1 of {source} must lie inside the sensor, 39×24 pixels, but is t_us=20, x=39, "
            "y=23, p=1. If only single events of the file are wrong, drop them with `drop_invalid` "
            "(a key, and an argument in Python) or --drop-invalid.",
        ),
    ],
)
def test_nothing_is_left_of_what_fails(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    output: str,
    options: list[str],
    message: str,
) -> None:
    assert main([str(source), str(tmp_path / output), *options]) == 1
    assert capsys.readouterr().err.endswith(f"error: {message.format(source=source)}\n")
    assert list(tmp_path.iterdir()) == [source]


def test_real_recordings(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(
        ("evt2_640x480.raw", "evt3_1280x720_driving.raw", "dvxplorer_320x240.aedat4")
    ):
        source = real / "recordings" / name
        events = open_recording(source).events()
        for suffix in ("_td.dat", ".h5"):
            output = tmp_path / f"{number}{suffix}"
            assert main([str(source), str(output), "--from-zero"]) == 0
            copy = open_recording(output).events()
            copy["t_us"] += events["t_us"][0]
            assert np.array_equal(copy, events)
    capsys.readouterr()
    assert main([str(source), str(tmp_path / "dates.dat")]) == 1
    assert capsys.readouterr().err == (
        f"error: {source} begins at 1605537493718345 µs, but DAT must begin before 2³² µs. Add "
        "--from-zero, or write HDF5.\n"
    )
