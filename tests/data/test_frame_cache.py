from __future__ import annotations

import gc
import os
import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from frame_caches import contents, disk_cache, report_of
from raw_layout import open_dataset, some_events, write_recording

from easnn.data import (
    DATASETS,
    LetterboxPolicy,
    RecordingDataset,
    build_eval_loader,
)
from easnn.representations import FrameSpec
from easnn.utils.errors import DataError


@pytest.mark.parametrize(
    "options", [{}, {"aggregation": "voxel_grid"}, {"downsample": 2}, {"measure": "timesurface"}]
)
def test_cached_frames_are_those_of_the_dataset(small_dataset, tmp_path, log, options):
    dataset = open_dataset(tmp_path, **options)
    for expected in ("cache: 11 frames, ", "hits 0.0%"), ("cache: 11 frames, ", "hits 100.0%"):
        with disk_cache(tmp_path / "cache") as cache:
            cached = cache.cached(open_dataset(tmp_path, **options), num_workers=0)
            assert contents(cached) == contents(dataset)
            line = report_of(cache, log)
        assert line.startswith(expected[0])
        assert line.endswith(f" of 1 GB, {expected[1]}\n")
    assert (cached.name, cached.split, cached.sensor_hw, cached.class_names, len(cached)) == (
        dataset.name,
        dataset.split,
        dataset.sensor_hw,
        dataset.class_names,
        len(dataset),
    )


def test_each_report_is_about_the_time_since_the_last(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        assert report_of(cache, log) == ""
        for expected in ("hits 0.0%", "hits 100.0%"):
            contents(cached)
            assert report_of(cache, log).endswith(f"{expected}\n")
        log.clear()
        cache.report_all()
        assert log[0].startswith("cache, whole run: 11 frames, ")
        assert log[0].endswith("hits 50.0%\n")


@pytest.mark.parametrize(
    "options",
    [
        {"window": -10},
        {"Tm": 3},
        {"slicing": "window"},
        {"aggregation": "sum"},
        {"aggregation": "timesurface"},
        {"measure": "timesurface"},
        {"aggregation": "timesurface", "tau": 1},
        {"downsample": 2},
    ],
)
def test_another_setting_gives_its_own_frames(small_dataset, tmp_path, log, options):
    with disk_cache(tmp_path / "cache") as cache:
        for dataset in (small_dataset, open_dataset(tmp_path, aggregation="timesurface")):
            contents(cache.cached(dataset, num_workers=0))
        cache.report()
        dataset = open_dataset(tmp_path, **options)
        made = options == {"aggregation": "timesurface"}
        assert contents(cache.cached(dataset, num_workers=0)) == contents(dataset)
        assert report_of(cache, log).endswith(f"hits {'100' if made else '0'}.0%\n")


def test_a_long_array_of_a_source_is_compared_whole(small_dataset, tmp_path):
    fingerprints = []
    for value in (0.0, 1e-12):
        source = DATASETS["gen1"].source(tmp_path, "train")
        source.gains = np.zeros(5000)
        source.gains[2500] = value
        fingerprints.append(source.dataset(FrameSpec(window=-20), num_classes=2).fingerprint())
    assert fingerprints[0] != fingerprints[1]


def test_frames_without_the_events_that_are_dropped(tmp_path, log):
    events = some_events("a")
    events["x"][7] = 33
    inside = np.delete(events, 7)
    write_recording(tmp_path / "val", "b", events=inside, sensor_hw=None)
    write_recording(tmp_path / "train", "a", events=events, sensor_hw=None)
    (tmp_path / "dataset.json").write_text('{"sensor_hw": [24, 32]}')
    spec, source = FrameSpec(window=0), DATASETS["gen1"].source(tmp_path, "train")
    strict, lenient = (
        chosen.dataset(spec, num_classes=2) for chosen in (source, source.dropping_invalid())
    )
    assert not source.drop_invalid
    with disk_cache(tmp_path / "cache") as cache:
        expected = DATASETS["gen1"].source(tmp_path, "val").dataset(spec, num_classes=2).load(0)
        assert cache.cached(lenient, num_workers=0).load(0).events.equal(expected.events)
        with pytest.raises(DataError, match=r"^Event 7 of .* must lie inside the sensor, 32×24 "):
            cache.cached(strict, num_workers=0).load(0)
    assert strict.fingerprint() != lenient.fingerprint()


@pytest.mark.parametrize("rewrite", ["events", "only the time"])
def test_a_changed_recording_gives_its_new_frames(small_dataset, tmp_path, log, rewrite):
    with disk_cache(tmp_path / "cache") as cache:
        contents(cache.cached(small_dataset, num_workers=0))
    path = tmp_path / "train" / "r1_td.dat"
    before = path.stat()
    if rewrite == "events":
        boxes = [(20_000 * (k + 1), 4, 5, 10, 8, 1) for k in range(5)]
        write_recording(tmp_path / "train", "r1", events=some_events("other"), boxes=boxes)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert path.stat().st_size == before.st_size
    with disk_cache(tmp_path / "cache") as cache:
        dataset = open_dataset(tmp_path)
        assert contents(cache.cached(dataset, num_workers=0)) == contents(open_dataset(tmp_path))
        assert report_of(cache, log).endswith(f"hits {6 / 11:.1%}\n")


def test_a_recording_that_changes_during_a_run_is_not_kept(small_dataset, tmp_path):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        old = cached.load(2)
        path = tmp_path / "train" / "r1_td.dat"
        stamp = path.stat().st_mtime_ns
        write_recording(tmp_path / "train", "r1", events=some_events("other"))
        os.utime(path, ns=(stamp, stamp + 1))
        cached.load(3)
    with disk_cache(tmp_path / "cache") as cache:
        new = open_dataset(tmp_path)
        assert not new.load(2).events.equal(old.events)
        assert contents(cache.cached(new, num_workers=0)) == contents(open_dataset(tmp_path))


def test_other_code_gives_its_own_frames(small_dataset, tmp_path, log, monkeypatch):
    for code, rate in (("one", "0.0"), ("one", "100.0"), ("other", "0.0")):
        monkeypatch.setattr(
            "easnn.data.cache.code_fingerprint._rooms_digest", lambda code=code: code.encode()
        )
        with disk_cache(tmp_path / "cache") as cache:
            contents(cache.cached(small_dataset, num_workers=0))
            assert report_of(cache, log).endswith(f"hits {rate}%\n")


def test_frames_of_code_that_lies_in_no_file_are_not_kept(small_dataset, tmp_path, log):
    made_here = {"__module__": "nowhere"}
    dataset = open_dataset(tmp_path)
    dataset.__class__ = type("MyDataset", (RecordingDataset,), made_here)
    with disk_cache(tmp_path / "cache") as cache:
        assert cache.cached(dataset, num_workers=0) is dataset
    assert log == ["The frames of gen1 train are read without the cache.\n"]


def test_frames_at_another_speed_pass_by(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        assert cached.load_at_speed(3, 2.0).events.equal(small_dataset.load_at_speed(3, 2.0).events)
        assert report_of(cache, log) == ""


def test_workers_share_the_cache_and_its_counts(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=2)
        loader = build_eval_loader(
            cached,
            LetterboxPolicy((32, 64)),
            batch_size=2,
            num_workers=2,
            device=torch.device("cpu"),
        )
        plain = build_eval_loader(
            small_dataset,
            LetterboxPolicy((32, 64)),
            batch_size=2,
            num_workers=0,
            device=torch.device("cpu"),
        )
        expected = [batch.events.tolist() for batch in plain]
        for rate in ("0.0", "100.0"):
            assert [batch.events.tolist() for batch in loader] == expected
            assert report_of(cache, log).endswith(f"hits {rate}%\n")
        assert contents(pickle.loads(pickle.dumps(cached))) == contents(small_dataset)


def test_memory_does_not_grow_with_epochs(small_dataset, tmp_path):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        loader = build_eval_loader(
            cached,
            LetterboxPolicy((32, 64)),
            batch_size=11,
            num_workers=0,
            device=torch.device("cpu"),
        )
        sizes = []
        gc.freeze()  # what is there already; it would take most of the time
        tracemalloc.start()
        for _ in range(40):
            for _batch in loader:
                pass
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        gc.unfreeze()
    # It would grow twice as much if one of the 11 frames were kept in each epoch.
    assert sizes[-1] - sizes[9] < 45_000
