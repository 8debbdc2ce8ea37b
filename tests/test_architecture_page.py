"""What docs/architecture.md says about files and packages is true."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from types import FrameType

import numpy as np
from test_layering import ALLOWED, PACKAGE

from easnn import Predictor
from easnn.events import pack_events, write_dat
from easnn.exp import get_exp
from easnn.kernels import Kernels, use_kernels

PAGE = (PACKAGE.parent / "docs" / "architecture.md").read_text()

HELPERS = {
    "config/key.py",
    "events/checks.py",
    "events/evidence.py",
    "events/downsample.py",  # returns the recording as it is
    "events/evt_raw.py",  # is asked whether the file is one of its own
    "kernels/choice.py",
    "kernels/spike_conv.py",  # is asked whether it applies
    "kernels/winograd.py",  # likewise
    "events/native_calls.py",
    "events/outside.py",
    "exp/experiment_file.py",  # is asked for every module that is imported
    "native/__init__.py",  # calls them
    "ops/boxes.py",
    "utils/files.py",
    "utils/precision.py",
}
"""Files that run on the way from an event to a box, but that the page does not count."""


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def files_in(text: str) -> list[str]:
    return re.findall(r"`([\w/]+/[\w/]+\.py)`", text)


def test_the_files_to_read_first_exist() -> None:
    files = files_in(section("Six files to read first"))
    assert len(files) == 6
    assert [file for file in files if not (PACKAGE.parent / file).is_file()] == []


def test_the_files_from_event_to_box_are_those_that_run(tmp_path: Path) -> None:
    experiment = get_exp(exp_name="e-yolox-demo")
    experiment.merge(["width", "0.0625", "input_size", "64,64", "test_size", "64,64"])
    model = experiment.get_model()
    use_kernels(model, Kernels.PLAIN)
    predictor = Predictor.of(experiment, model, confidence=0.0)
    rng = np.random.default_rng(0)
    columns = (
        np.sort(rng.integers(0, 200_000, 2000)),
        *(rng.integers(0, n, 2000) for n in (64, 64, 2)),
    )
    write_dat(tmp_path / "a_td.dat", pack_events(*columns), sensor_hw=(64, 64))
    ran = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            ran.add(path.relative_to(PACKAGE).as_posix())

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        detections = predictor.detect(tmp_path / "a_td.dat", 200_000)
        assert len(detections) > 0
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    listed = files_in(section("From event to box").split("|---:")[1])
    assert len(listed) == 25
    assert ran - HELPERS == set(listed)


def test_it_lists_every_package_from_the_bottom_up() -> None:
    assert re.findall(r"^\| `(\w+)` \|", section("Packages"), re.M) == list(ALLOWED)


def test_packages_import_what_it_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", section("Packages"), re.M)
    for package, imports in rows:
        named = set(re.findall(r"`(\w+)`", imports))
        allowed = ALLOWED[package] - {"utils", "config"}
        if "…" in imports or "and what it imports" in imports:
            assert named <= allowed, package
        elif imports != "all":
            assert named == allowed, package
