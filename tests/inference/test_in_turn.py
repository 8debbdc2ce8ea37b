"""A memory is carried from window to window when a recording is watched, and in an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from untrained import untrained

from easnn import Predictor
from easnn.checkpoints import Checkpoint, save_checkpoint
from easnn.data import UNLABELLED, TimelineSampler
from easnn.events import BOX_DTYPE, open_dat, pack_events, write_boxes, write_dat
from easnn.exp import EventExp
from easnn.inference.forward import single_thread
from easnn.ops import letterbox_placement, unplace_detections
from easnn.representations import make_frame

CPU = torch.device("cpu")
SENSOR_HW = (24, 48)
LABELS_US = {"a": [250_000, 450_000], "b": [200_000, 400_000], "c": [700_000]}
"""Windows of 200 ms: one that ends at 50 ms precedes the first label of a; two that of c."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "val").mkdir()
    rng = np.random.default_rng(0)
    for name, labels_us in LABELS_US.items():
        t_us = np.sort(rng.integers(0, 700_000, 5000))
        t_us[0] = 0
        places = (rng.integers(0, n, 5000) for n in (SENSOR_HW[1], SENSOR_HW[0], 2))
        write_dat(root / f"val/{name}_td.dat", pack_events(t_us, *places), sensor_hw=SENSOR_HW)
        boxes = np.zeros(len(labels_us), BOX_DTYPE)
        boxes["t_us"], boxes["w"], boxes["h"] = labels_us, 10, 8
        write_boxes(root / f"val/{name}_bbox.npy", boxes)
    return root


@pytest.fixture(scope="module", params=["lstm", "spiking"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a memory that has an effect."""
    words = f"memory {request.param} memory_dim 8 use_spike False embedding count Tm 1 window -200"
    path = untrained(tmp_path_factory.mktemp("run"), words)
    contents = torch.load(path, weights_only=True)
    for name, weight in contents["model"].items():
        if name.startswith("memory") and name.endswith(("alpha", "down.bn.bias")):
            weight.fill_(0.7)
    save_checkpoint(path, contents)
    return path


def experiment_of(checkpoint: Path, root: Path) -> EventExp:
    experiment = Checkpoint(checkpoint).experiment()
    experiment.merge(["data_dir", str(root), "data_num_workers", "0", "test_conf", "0"])
    return experiment


def evaluated(checkpoint: Path, root: Path, batch_size: int = 3) -> dict[int, np.ndarray]:
    """Return the detections of an evaluation by the number of the frame, in its order."""
    experiment = experiment_of(checkpoint, root)
    loader = experiment.get_eval_loader(batch_size=batch_size, device=CPU)
    predictor = Predictor.of(experiment, Checkpoint(checkpoint).build_model(experiment, CPU))
    return {frame.index: rows.numpy() for frame, rows in predictor.detect_batches(loader)}


def test_watching_carries_the_memory(checkpoint: Path, root: Path) -> None:
    predictor = Predictor.load(checkpoint, confidence=0)
    recording = open_dat(root / "val" / "a_td.dat")
    seen = list(predictor.watch(recording, every_ms=50))  # two groups of windows
    assert len(seen) == 14
    state, model = None, predictor.model
    for found in seen:
        frame = make_frame(predictor.spec, recording, found.time_us, SENSOR_HW)
        with torch.inference_mode(), single_thread(CPU):
            events = predictor.network_input(frame)
            outputs, state = model.detect_next(model.embedding(events), state)
            [rows] = predictor._select(outputs)
        placement = letterbox_placement(SENSOR_HW, predictor.input_hw)
        np.testing.assert_array_equal(found.rows, unplace_detections(rows, placement, SENSOR_HW))
    alone = predictor.detect(recording, seen[-1].time_us)
    assert not np.array_equal(alone.rows, seen[-1].rows)
    first = predictor.detect(recording, seen[0].time_us)
    np.testing.assert_array_equal(first.rows, seen[0].rows)


def test_an_evaluation_plays_each_recording_from_its_beginning(
    checkpoint: Path, root: Path
) -> None:
    found = evaluated(checkpoint, root)
    assert list(found) == [0, 1, 2, 3, 4]
    predictor = Predictor.load(checkpoint, confidence=0)
    expected = []
    for name, start_us in (("a", -150_000), ("b", -0), ("c", -100_000)):
        recording = open_dat(root / "val" / f"{name}_td.dat")
        times_us = LABELS_US[name]
        watched = predictor.watch(recording, every_ms=200, start_us=start_us, end_us=times_us[-1])
        expected += [w.rows for w in watched if w.time_us in times_us]
    for rows, other in zip(found.values(), expected, strict=True):
        np.testing.assert_array_equal(rows, other)
    # Their state is not that of the recording before, nor empty.
    alone = predictor.detect(root / "val" / "b_td.dat", 200_000)
    np.testing.assert_array_equal(found[2], alone.rows)
    alone = predictor.detect(root / "val" / "c_td.dat", 700_000)
    assert not np.array_equal(found[4], alone.rows)


def test_the_result_does_not_depend_on_batches_and_processes(checkpoint: Path, root: Path) -> None:
    expected = evaluated(checkpoint, root)
    for index, rows in evaluated(checkpoint, root, batch_size=1).items():
        np.testing.assert_array_equal(rows, expected[index])
    experiment = experiment_of(checkpoint, root)
    loader = experiment.get_eval_loader(batch_size=3, device=CPU)
    predictor = Predictor.of(experiment, Checkpoint(checkpoint).build_model(experiment, CPU))
    timeline = loader.dataset.timeline()
    found = {}
    for rank in range(2):
        batches = [
            loader._loader.dataset[requests]
            for requests in TimelineSampler(timeline, 3, rank=rank, world_size=2)
        ]
        found |= {frame.index: rows for frame, rows in predictor.detect_batches(batches)}
    assert list(found) == list(expected)
    for index, rows in found.items():
        np.testing.assert_array_equal(rows, expected[index])


def test_the_first_frames_of_an_evaluation(checkpoint: Path, root: Path) -> None:
    loader = experiment_of(checkpoint, root).get_eval_loader(batch_size=3, device=CPU)
    loader.sampler.limit(3)
    indices = [index for batch in loader for index in batch.indices]
    assert [index for index in indices if index != UNLABELLED] == [0, 1, 2]
    assert len(loader) == 2
