from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
from rvt_layout import HALVED, HISTOGRAMS, open_rvt, some_histograms, write_sequence

from easnn.utils.errors import DataError

LAYOUT = (
    "Expected are sequences {root}/{{train,val,test}}/NAME/ with event_representations_v2/"
    "stacked_histogram_dt=50_nbins=10/{{event_representations.h5 or "
    "event_representations_ds2_nearest.h5, timestamps_us.npy, objframe_idx_2_repr_idx.npy}} and "
    "labels_v2/{{labels.npz, timestamps_us.npy}}. "
    "`easnn preprocess` makes them from raw recordings."
)


@pytest.fixture
def sequence(tmp_path):
    folder = tmp_path / "train" / "a"
    write_sequence(folder)
    return folder


def message_of(root, index=None):
    """Return what is wrong when the dataset is made, or when a frame is read."""
    with pytest.raises(DataError) as caught:
        dataset = open_rvt(root)
        if index is not None:
            dataset.load(index)
    return str(caught.value)


def rewrite_labels(sequence, **changes):
    path = sequence / "labels_v2" / "labels.npz"
    with np.load(path) as stored:
        arrays = {name: changes.pop(name, stored[name]) for name in stored.files} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def stored_labels(sequence):
    return np.load(sequence / "labels_v2" / "labels.npz")["labels"]


def replace_data(sequence, name="data", **settings):
    path = sequence / HISTOGRAMS / HALVED
    with h5py.File(path, "w") as file:
        file.create_dataset(name, **settings)
    return path


def test_missing_split(tmp_path):
    assert (
        message_of(tmp_path) == f"{tmp_path}/train is not a folder. {LAYOUT.format(root=tmp_path)}"
    )


def test_empty_split(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    assert (
        message_of(tmp_path)
        == f"{tmp_path}/train holds no sequence. {LAYOUT.format(root=tmp_path)}"
    )


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("labels_v2/labels.npz", "labels_v2/labels.npz"),
        ("labels_v2/timestamps_us.npy", "labels_v2/timestamps_us.npy"),
        (HISTOGRAMS / HALVED, HISTOGRAMS / "event_representations.h5"),
        (HISTOGRAMS / "timestamps_us.npy", HISTOGRAMS / "timestamps_us.npy"),
        (HISTOGRAMS / "objframe_idx_2_repr_idx.npy", HISTOGRAMS / "objframe_idx_2_repr_idx.npy"),
    ],
)
def test_missing_files(tmp_path, sequence, missing, named):
    shutil.copytree(sequence, tmp_path / "train" / "b")
    (sequence / missing).unlink()
    assert message_of(tmp_path) == (
        f"{tmp_path}/train has 1 recording without all of their files: a. {sequence / named} is "
        f"missing. {LAYOUT.format(root=tmp_path)}"
    )


def test_sequence_in_two_splits(tmp_path, sequence):
    shutil.copytree(sequence, tmp_path / "val" / "a")
    with pytest.raises(
        DataError, match=r"^.* has 1 recording in more than one of train, val: a\. "
    ):
        open_rvt(tmp_path, ["train", "val"])


def test_unknown_class(tmp_path, sequence):
    labels = stored_labels(sequence)
    labels["class_id"][1] = 3
    path = rewrite_labels(sequence, labels=labels)
    assert message_of(tmp_path) == (
        f"The class ids in {path} must be 0 to 2 (pedestrian, two-wheeler, car), but 1 of 3 boxes "
        'have others, like 3. Remove these boxes, or declare all classes as "class_names" in '
        f"{tmp_path}/dataset.json."
    )


@pytest.mark.parametrize(
    ("starts", "shown"),
    [
        ([0, 3], "0, 3"),
        ([1, 2], "1, 2"),
        ([0, 0], "0, 0"),
        ([0, -1], "0, -1"),
        ([0, 2, 1, 2, 0, 1], "0, 2, 1, 2, 0, …"),
    ],
)
def test_wrong_starts(tmp_path, sequence, starts, shown):
    path = rewrite_labels(sequence, objframe_idx_2_label_idx=np.array(starts))
    assert message_of(tmp_path) == (
        f"`objframe_idx_2_label_idx` of {path} must rise from 0 to less than the 3 labels, but is "
        f"{shown}. Preprocess the recording again."
    )


@pytest.mark.parametrize("starts", [[0], [0, 1], [0, 1, 2]])
def test_starts_that_contradict_the_times(tmp_path, sequence, starts):
    path = rewrite_labels(sequence, objframe_idx_2_label_idx=np.array(starts))
    assert message_of(tmp_path) == (
        f"The labels of {path} must have the times of {sequence}/labels_v2/timestamps_us.npy, as "
        "many for "
        "each as `objframe_idx_2_label_idx` says, but have others. Preprocess the recording again."
    )


def test_starts_that_are_no_integers(tmp_path, sequence):
    path = rewrite_labels(sequence, objframe_idx_2_label_idx=np.array([[0.0, 2.0]]))
    assert message_of(tmp_path) == (
        f"`objframe_idx_2_label_idx` of {path} must be integers [N], but is float64 [1, 2]."
    )


def test_labels_without_starts(tmp_path, sequence):
    path = rewrite_labels(sequence, objframe_idx_2_label_idx=None)
    assert message_of(tmp_path) == (
        f"{path} must have the arrays labels and objframe_idx_2_label_idx, but has labels."
    )


def test_labels_with_python_objects(tmp_path, sequence):
    path = rewrite_labels(sequence, labels=np.array([{}], object))
    assert message_of(tmp_path) == (
        f"{path} is not a whole NumPy archive of plain arrays: Python objects are never loaded. "
        "Copy it again."
    )


def test_nothing_is_labelled(tmp_path, sequence):
    rewrite_labels(
        sequence, labels=stored_labels(sequence)[:0], objframe_idx_2_label_idx=np.arange(0)
    )
    np.save(sequence / "labels_v2" / "timestamps_us.npy", np.arange(0))
    np.save(sequence / HISTOGRAMS / "objframe_idx_2_repr_idx.npy", np.arange(0))
    assert (
        message_of(tmp_path) == f"{tmp_path} has no label in train: all its label files are empty."
    )


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            [1],
            "{path} must have an entry for each of the 2 labelled times of {labels}, but has 1. "
            "Preprocess the recording again.",
        ),
        (
            [1, 6],
            "{path} must hold numbers of the 6 histograms, but holds 6. Preprocess the recording "
            "again.",
        ),
        (
            [-5, 5],
            "{path} must hold numbers of the 6 histograms, but holds -5. Preprocess the recording "
            "again.",
        ),
        (
            [1, 4],
            "Histogram 4 must end at the label that {path} gives it, 300000 µs, but ends at 250000 "
            "µs ({ends}). Preprocess the recording again.",
        ),
    ],
)
def test_wrong_histogram_numbers(tmp_path, sequence, numbers, message):
    path = sequence / HISTOGRAMS / "objframe_idx_2_repr_idx.npy"
    np.save(path, np.array(numbers))
    names = {
        "labels": sequence / "labels_v2/timestamps_us.npy",
        "ends": sequence / HISTOGRAMS / "timestamps_us.npy",
    }
    assert message_of(tmp_path) == message.format(path=path, **names)


def test_times_that_fall(tmp_path, sequence):
    path = sequence / HISTOGRAMS / "timestamps_us.npy"
    np.save(path, np.array([50_000, 100_000, 100_000, 200_000, 250_000, 300_000]))
    assert message_of(tmp_path) == (
        f"The times in {path} must rise, but 100000 µs is followed by 100000 µs. Preprocess the "
        "recording again."
    )


def test_times_that_wrap(tmp_path, sequence):
    path = sequence / HISTOGRAMS / "timestamps_us.npy"
    np.save(path, np.array([2**63 - 1, -(2**63)]))
    assert message_of(tmp_path).startswith(
        f"The times in {path} must rise, but 9223372036854775807 µs is"
    )


def test_fewer_histograms_than_times(tmp_path, sequence):
    path = replace_data(sequence, data=some_histograms(5))
    assert message_of(tmp_path, 0) == (
        f"{path} must have a histogram for each of the 6 times in "
        f"{sequence / HISTOGRAMS}/timestamps_us.npy, but has 5. Preprocess the recording again."
    )


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (np.zeros((6, 20, 6, 8), np.int16), "int16 [6, 20, 6, 8]"),
        (np.zeros((6, 10, 6, 8), np.uint8), "uint8 [6, 10, 6, 8]"),
        (np.zeros((6, 20, 48), np.uint8), "uint8 [6, 20, 48]"),
        (np.zeros((0, 20, 6, 8), np.uint8), "uint8 [0, 20, 6, 8]"),
    ],
)
def test_data_of_another_kind(tmp_path, sequence, data, found):
    path = replace_data(sequence, data=data)
    assert message_of(tmp_path, 0) == (
        f"`data` of {path} must be histograms uint8 [N, 20, H, W], but is {found}."
    )


def test_no_histograms_in_the_file(tmp_path, sequence):
    path = replace_data(sequence, name="histograms", data=some_histograms())
    assert message_of(tmp_path, 0) == f"{path} must have the dataset `data`, but it is missing."


def test_histograms_that_were_never_written(tmp_path, sequence):
    path = replace_data(sequence, shape=(6, 20, 6, 8), dtype=np.uint8, chunks=(1, 20, 6, 8))
    assert message_of(tmp_path, 0) == (
        f"`data` of {path} promises 5760 bytes, which the file does not hold. The file is damaged; "
        "copy it again."
    )


def test_histograms_larger_than_any_sensor(tmp_path, sequence):
    path = replace_data(
        sequence, shape=(6, 20, 2**20, 2**20), dtype=np.uint8, chunks=(1, 20, 60, 80)
    )
    assert message_of(tmp_path, 0) == (
        f"The histograms of {path} must have at most 268435456 bytes, but have 1048576×1048576 "
        "pixels."
    )


def test_missing_filter(tmp_path, sequence):
    path = sequence / HISTOGRAMS / HALVED
    content = path.read_bytes()
    code = (32_001).to_bytes(2, "little")
    path.write_bytes(content.replace(code, (31_999).to_bytes(2, "little")))
    assert message_of(tmp_path, 0) == (
        f"`data` of {path} is compressed by an HDF5 filter that neither h5py nor hdf5plugin has "
        "(number 31999). Write it again with Blosc or gzip."
    )


def test_a_chunk_whose_header_lies(tmp_path, sequence):
    path = sequence / HISTOGRAMS / HALVED
    with h5py.File(path) as file:
        offset = file["data"].id.get_chunk_info_by_coord((4, 0, 0, 0)).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 4 : offset + 8] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    dataset = open_rvt(tmp_path)
    dataset.load(0)
    with pytest.raises(DataError) as caught:
        dataset.load(1)
    assert str(caught.value) == (
        f"Cannot read entries 2 to 6 of `data` of {path}: the chunk of entry 4 has another size "
        "than it says. Copy it again."
    )


@pytest.mark.parametrize(
    ("filter_mask", "stored", "fault"),
    [
        (0, b"x" * 15, "the chunk of entry 1 has no header"),
        (0, b"x" * 960, "the chunk of entry 1 has another size than it says"),
        (
            2,
            b"x" * 960,
            "the chunk of entry 1 has another size than it says",
        ),  # there is no second filter
        (
            1,
            b"x" * 959,
            "the chunk of entry 1 has another size than it says",
        ),  # stored without Blosc
    ],
)
def test_chunks_of_another_size(tmp_path, sequence, filter_mask, stored, fault):
    path = sequence / HISTOGRAMS / HALVED
    with h5py.File(path, "r+") as file:
        file["data"].id.write_direct_chunk((1, 0, 0, 0), stored, filter_mask=filter_mask)
    assert message_of(tmp_path, 0) == (
        f"Cannot read entries 0 to 2 of `data` of {path}: {fault}. Copy it again."
    )


def test_chunks_without_blosc_among_others(tmp_path, sequence):
    path = sequence / HISTOGRAMS / HALVED
    with h5py.File(path, "r+") as file:
        file["data"].id.write_direct_chunk((1, 0, 0, 0), bytes([1]) * 960, filter_mask=1)
    assert (open_rvt(tmp_path).load(0).events[3] == 10).all()


def test_file_cut_off(tmp_path, sequence):
    path = sequence / HISTOGRAMS / HALVED
    path.write_bytes(path.read_bytes()[:-100])
    assert message_of(tmp_path, 0).startswith(f"{path} is not a whole HDF5 file: ")
    path.write_bytes(b"")
    assert message_of(tmp_path, 0) == f"{path} is empty (0 bytes). Copy or record it again."


def test_a_damaged_first_sequence_does_not_keep_the_others(tmp_path, sequence):
    shutil.copytree(sequence, sequence.with_name("zzz"))
    path = sequence / HISTOGRAMS / HALVED
    path.write_bytes(path.read_bytes()[:-100])
    assert message_of(tmp_path, 0).startswith(f"{path} is not a whole HDF5 file: ")
    assert open_rvt(tmp_path).load(-1).sequence == "zzz"
