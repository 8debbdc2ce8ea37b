"""AEDAT4: one stream of events is read, whatever the others are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from aedat4_files import aedat4, event_packet

from easnn.events import open_aedat4, open_recording, pack_events, write_npz
from easnn.utils.errors import DataError

LEFT = pack_events([10, 20, 30, 40], [0, 39, 5, 6], [23, 0, 1, 2], [0, 1, 0, 1])
RIGHT = pack_events([11, 22], [7, 8], [9, 10], [1, 0])
UNKNOWN = [(4, b"\x01"), (2, bytes(range(200))), (3, b"EVTS" * 50)]


@pytest.mark.parametrize("index", [False, True])
def test_streams_that_are_no_events_are_skipped(tmp_path, index):
    path = tmp_path / "a.aedat4"
    kinds = {4: "BBOX", 0: "EVTS", 2: "FRME", 3: "something new"}
    packets = [UNKNOWN[0], (0, event_packet(LEFT[:3])), *UNKNOWN[1:], (0, event_packet(LEFT[3:]))]
    path.write_bytes(aedat4(kinds, packets, index=index))
    recording = open_recording(path)
    assert np.array_equal(recording.events(), LEFT)
    assert recording.sensor_hw == (24, 40)


def test_one_of_several_streams_of_events(tmp_path):
    path = tmp_path / "a.aedat4"
    packets = [(1, event_packet(RIGHT)), *UNKNOWN, (0, event_packet(LEFT))]
    path.write_bytes(aedat4({0: "EVTS", 4: "BBOX", 1: "EVTS"}, packets))
    assert np.array_equal(open_aedat4(path, stream=0).events(), LEFT)
    assert np.array_equal(open_recording(path, stream=1).events(), RIGHT)
    streams = "0 (40×24, Camera_0) and 1 (40×24, Camera_1)"
    _refused(
        path,
        None,
        f"{path} has 2 streams of events: {streams}. Choose one with --stream N of "
        "`easnn convert-events` or `easnn demo` (`stream` in Python).",
    )
    _refused(
        path,
        4,
        f"{path} has no stream of events with the number 4, but {streams}. Choose one of these "
        "with --stream N (`stream` in Python).",
    )


LIMITED = """
import resource, sys
from easnn.events import open_recording
from easnn.events.aedat4_decode import MAX_MEMORY_BYTES
limit = MAX_MEMORY_BYTES // 2
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(len(open_recording(sys.argv[1]).events()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits of memory that hold")
def test_where_processes_may_take_less_memory_than_the_decoder_allows_itself(tmp_path):
    path = tmp_path / "a.aedat4"
    path.write_bytes(aedat4({0: "EVTS"}, [(0, event_packet(LEFT))]))
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("4\n", 0), done.stderr


def test_stream_of_another_format(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, LEFT)
    _refused(
        path,
        0,
        f"--stream (`stream` in Python) chooses a stream of an AEDAT4 file, but {path} has another "
        "format. Omit it.",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            aedat4({0: "FRME", 3: "IMUS"}, []),
            "{path} must have a stream of events (EVTS), but has FRME, IMUS.",
        ),
        (
            aedat4({}, []),
            "{path} must have a stream of events (EVTS), but has no stream.",
        ),
        (aedat4({5: "EVTS"}, UNKNOWN), "{path} has no events in stream 5. Record it again."),
        (
            aedat4({0: "EVTS"}, [], xml="<dv><node>"),
            "{path} is damaged or cut off: its header cannot be read (no element found: line 1, "
            "column 10). Copy it again.",
        ),
        (
            aedat4({0: "EVTS"}, [], xml='<!DOCTYPE a [<!ENTITY b "ha">]><dv>&b;</dv>'),
            "{path} is damaged or cut off: its header cannot be read (it declares entities). Copy "
            "it again.",
        ),
        (
            aedat4({0: "EVTS"}, [])[:60],
            "{path} is damaged or cut off: its header cannot be read (it promises 446 bytes). Copy "
            "it again.",
        ),
        (
            aedat4({0: "EVTS"}, [])[:16],
            "{path} is damaged or cut off: its header cannot be read (the file ends in it). Copy "
            "it again.",
        ),
    ],
    ids=["other streams", "no stream", "no events", "cut XML", "entities", "cut header", "cut"],
)
def test_wrong_files(tmp_path, content, message):
    path = tmp_path / "a.aedat4"
    path.write_bytes(content)
    _refused(path, None, message.format(path=path))


def test_packet_that_is_cut_off(tmp_path):
    path = tmp_path / "a.aedat4"
    packets = [(0, event_packet(LEFT)), (2, bytes(100))]
    path.write_bytes(aedat4({0: "EVTS", 2: "IMUS"}, packets)[:-1])
    with pytest.raises(DataError, match=f"^{path} is damaged or cut off after 4 events: "):
        open_recording(path)


def test_files_of_the_field(field: Path):
    assert len(open_recording(field / "bbox.aedat4").events()) == 2000
    assert [len(open_recording(field / "stereo.aedat4", stream=n)) for n in (0, 1)] == [300, 300]


def _refused(path: Path, stream: int | None, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_recording(path, stream=stream)
