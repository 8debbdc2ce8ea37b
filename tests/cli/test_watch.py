"""The command ``easnn watch``: recordings and ports, its files and its errors."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from untrained import untrained

from easnn import Predictor
from easnn.cli.watch import main
from easnn.events import pack_events, read_boxes, write_dat

HW = (24, 48)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run"), "window -100 Tm 2")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    t_us = np.sort(rng.integers(0, 450_000, 3000))
    events = pack_events(t_us, *(rng.integers(0, n, 3000) for n in (HW[1], HW[0], 2)))
    path = tmp_path_factory.mktemp("data") / "noise_td.dat"
    write_dat(path, events, sensor_hw=HW)
    return path


def expected_lines(checkpoint: Path, recording: Path) -> list[tuple[int, list[dict]]]:
    predictor = Predictor.load(checkpoint, confidence=0)
    return [(one.time_us, list(one)) for one in predictor.watch(recording, every_ms=100)]


def lines_of(text: str) -> list[tuple[int, list[dict]]]:
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["window"] for line in lines] == list(range(len(lines)))
    assert all(line["dropped"] == 0 for line in lines)
    return [(line["time_us"], line["detections"]) for line in lines]


def test_a_recording_and_every_output(
    checkpoint: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = expected_lines(checkpoint, recording)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        words = [str(recording), "-c", str(checkpoint), "--conf", "0", "--pace", "fast"]
        words += ["-o", str(tmp_path / "lines"), "--udp", f"127.0.0.1:{receiver.getsockname()[1]}"]
        words += ["--boxes", str(tmp_path / "boxes.npy"), "--json", str(tmp_path / "all.json")]
        assert main(words) == 0
        sent = b"\n".join(receiver.recv(65_536) for _ in expected).decode()
    assert lines_of((tmp_path / "lines").read_text()) == lines_of(sent) == expected
    boxes = read_boxes(tmp_path / "boxes.npy")
    assert len(boxes) == sum(len(found) for _, found in expected)
    assert boxes["t_us"][0] == expected[0][0]
    assert round(float(boxes["x"][0]), 2) == expected[0][1][0]["x"]
    numbers = json.loads((tmp_path / "all.json").read_text())
    assert (numbers["windows"], numbers["dropped"]) == (len(expected), 0)
    assert numbers["arrived"]["events"] == 3000
    assert numbers["detections"] == len(boxes)
    output = capsys.readouterr().out
    assert "windows dropped      0\n" in output


def test_a_recording_sent_over_tcp(
    checkpoint: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(recording.read_bytes())

        thread = threading.Thread(target=send)
        thread.start()
        source = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        words = [source, "-c", str(checkpoint), "--conf", "0", "--max-waiting", "99"]
        assert main(words) == 0
        thread.join()
    output = capsys.readouterr()
    assert lines_of(output.out) == expected_lines(checkpoint, recording)
    assert f"source               {source}\n" in output.err


def test_a_recording_sent_over_udp(
    checkpoint: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    records = recording.read_bytes()[-8 * 3000 :]
    done = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            while not done.wait(0.05):  # until the port is open: nothing else arrives before
                try:
                    sender.send(b"")
                    time.sleep(0.01)
                    sender.send(b"")  # refused if nothing received the one before
                    break
                except ConnectionRefusedError:
                    continue
            for start in range(0, len(records), 1200):
                sender.send(records[start : start + 1200])

    thread = threading.Thread(target=send)
    thread.start()
    words = [f"udp://127.0.0.1:{port}", "-c", str(checkpoint), "--conf", "0"]
    words += ["--format", "dat", "--sensor-size", "24x48", "--idle-s", "1", "--max-waiting", "99"]
    try:
        assert main(words) == 0
    finally:
        done.set()
        thread.join()
    assert lines_of(capsys.readouterr().out) == expected_lines(checkpoint, recording)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["udp://:0", "--pace", "fast"], "`--pace` must be live for a UDP port, which does not "),
        (["udp://:0", "--format", "evt3"], "`--format` needs `--sensor-size HxW`: without a "),
        (["-", "--drop-invalid"], "`--drop-invalid` is for recordings, but - is a stream."),
        (["-", "--stream", "0"], "`--stream` is for recordings, but - is a stream."),
        (["RECORDING", "--format", "evt2"], "`--format` is for streams, but "),
        (["RECORDING", "--idle-s", "1"], "`--idle-s` is for streams, but "),
        (["RECORDING", "--max-waiting", "0"], "`max_waiting` must be at least 1, but is 0."),
        (["RECORDING", "--udp", "here"], "`--udp`: An address must be HOST:PORT, with a port of "),
        (["RECORDING", "-o", "nowhere/a"], "`--output` must name a file in a folder that exists, "),
        (["tcp://127.0.0.1:1"], "Cannot connect to tcp://127.0.0.1:1: Connection refused. "),
    ],
)
def test_errors(
    words: list[str],
    message: str,
    checkpoint: Path,
    recording: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(recording) if word == "RECORDING" else word for word in words]
    assert main([*words, "-c", str(checkpoint)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {message}")
