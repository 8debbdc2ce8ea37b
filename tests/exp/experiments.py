"""Experiment files and commands for the tests."""

from __future__ import annotations

from pathlib import Path

from easnn.exp import EventExp

PUBLISHED_GEN1 = (
    "max_epoch 30 data_num_workers 4 T 3 eval_interval 10 embedding arsnn basic_lr_per_img {lr} "
    "seed 80 data_name gen1 data_dir DIR num_classes 2 scheduler fixed spike_attach True thresh 1 "
    "readout sum embedding_depth 2 embedding_ksize 5 write_zero True use_spike {spike} spike_fn "
    "atan"
)
"""Keys of the three published training commands for Gen1."""

PUBLISHED_GEN1_PAIRS = [
    PUBLISHED_GEN1.format(lr=lr, spike=spike).split()
    for lr, spike in [
        ("0.000015625", "True"),
        ("0.00001724", "full_spike"),
        ("0.00001851", "full_spike_v2"),
    ]
]


PUBLISHED_N_CALTECH = (
    "max_epoch 60 data_num_workers 2 eval_interval 10 embedding arsnn basic_lr_per_img 0.000009375 "
    "seed 80 data_dir DIR no_aug_epochs 0 Tm 4 T 3 scheduler fixed spike_attach True write_zero "
    "True readout sum use_spike full_spike_v2 window 0 spike_fn atan alpha 1.5"
)
"""Keys of the published training command for N-Caltech101, the default dataset, with e-yolox-m."""

PUBLISHED_GEN4 = (
    "max_epoch 30 data_num_workers 4 Tl 4 T 3 eval_interval 10 embedding arsnn basic_lr_per_img "
    "0.0000092592593 seed 80 data_name gen4 data_dir DIR num_classes 3 scheduler fixed "
    "spike_attach True thresh 1 readout sum embedding_depth 2 embedding_ksize 5 write_zero True "
    "spike_fn atan aggregation event_sum use_spike True"
)
"""Keys of the published training command for 1Mpx, preprocessed for RVT, with e-yolox-m."""


def set_keys(experiment: EventExp, words: str) -> None:
    """Set keys from words as on the command line."""
    experiment.merge(words.split())


def write_experiment(
    folder: Path, body: str, *, name: str = "mine", before: str = "", after: str = ""
) -> Path:
    """Write an experiment file whose ``__init__`` goes on with ``body``, and the class after it."""
    path = folder / f"{name}.py"
    path.write_text(
        f"from easnn.exp import EventExp\n{before}\n\n"
        "class Exp(EventExp):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        {body}\n"
        f"{after}"
    )
    return path
