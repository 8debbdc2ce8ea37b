"""The training that is killed: a tiny network on a tiny simulated dataset, all of it in seconds."""

from __future__ import annotations

from pathlib import Path

from easnn.simulator import DatasetConfig, RecordingConfig, write_synthetic_dataset

EPOCHS = 4
STEPS_PER_EPOCH = 5
SAVED_EVERY = 2
"""Steps between two checkpoints: a kill costs so many steps at most."""

_BATCH = 4
_LABELS_PER_RECORDING = 4
_DATASET = DatasetConfig(
    train=STEPS_PER_EPOCH * _BATCH // _LABELS_PER_RECORDING,
    val=2,
    test=0,
    recording=RecordingConfig(sensor_hw=(32, 64), duration_s=1.0),
)
# The AP rises in every epoch, so every epoch writes a best checkpoint, too.
_KEYS = (
    "width 0.0625 T 1 Tm 2 input_size 32,64 test_size 32,64 basic_lr_per_img 0.001 seed 2 "
    f"max_epoch {EPOCHS} eval_interval 1 save_history_ckpt True ckpt_interval_steps {SAVED_EVERY} "
    "print_interval 1 data_num_workers 1 test_conf 0.0001 pictures False"
)


def write_dataset(path: Path) -> None:
    """Simulate the dataset.

    Raises:
        OutputError: if it cannot be written.
    """
    write_synthetic_dataset(path, _DATASET)


def words(dataset: Path, run: Path, *, processes: int) -> list[str]:
    """Return the command line of the training, without the program.

    Args:
        dataset: folder of the dataset.
        run: the run directory.
        processes: number of processes that train.
    """
    options = ["train", "-n", "e-yolox-demo", "-b", str(_BATCH), "-d", str(processes)]
    places = ["data_dir", str(dataset), "output_dir", str(run.parent), "exp_name", run.name]
    return [*options, *places, *_KEYS.split()]
