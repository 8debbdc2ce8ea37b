"""The keys of data, training, evaluation and output, and the set of all keys.

Each key is declared once: those of the network in ``easnn/models/config.py``, those of frames in
``easnn/representations/frame_spec.py``, the others here.
"""

from __future__ import annotations

from typing import Literal

from easnn.config import HARMLESS, TAKES_EFFECT, Config, FilePath, key, refused
from easnn.data import DATASETS, Split
from easnn.models.config import DetectorKeys, EmbeddingKeys, MemoryKeys, RecurrenceKeys
from easnn.optim import OptimizerName, ScheduleName
from easnn.representations import FrameKeys
from easnn.utils.options import PrecisionName


class DataKeys(Config):
    """Settings of the datasets and of the augmentation."""

    KEY_GROUP = "Data"

    data_name: str = key(
        "n-caltech",
        "dataset",
        choices=DATASETS,
        on_resume=refused("weights and order of samples belong to it"),
    )
    data_dir: FilePath | None = key(
        None,
        "folder of the dataset, relative to the working directory; `None`: `datasets/DATA_NAME`",
        on_resume=TAKES_EFFECT,
    )
    train_splits: tuple[Split, ...] = key(
        ("train",), "training splits; published results: `train,val`", on_resume=TAKES_EFFECT
    )
    label_filter: bool = key(
        False,
        "drop the boxes of training splits that RVT leaves out: small ones, and those wider than "
        "nine tenths of the frame",
        on_resume=TAKES_EFFECT,
    )
    downsample: Literal[1, 2] = key(
        1,
        "2 halves the resolution of events and boxes, e.g. `gen4` to 640×360",
        on_resume=TAKES_EFFECT,
        scores=True,
    )
    drop_invalid: bool = key(
        False,
        "drop single events outside of the sensor, which are an error otherwise",
        on_resume=HARMLESS,  # it decides between the same result and an error
    )
    input_size: tuple[int, int] = key(
        (640, 640),
        "height,width seen in training",
        low=32,
        high=16_384,
        multiple_of=32,
        unit="px",
        on_resume=TAKES_EFFECT,
    )
    test_size: tuple[int, int] = key(
        (640, 640),
        "height,width seen in evaluation",
        low=32,
        high=16_384,
        multiple_of=32,
        unit="px",
        on_resume=TAKES_EFFECT,
        scores=True,
    )
    data_num_workers: int = key(
        4, "data loading processes; 0: load in the training process", low=0, on_resume=HARMLESS
    )
    flip_prob: float = key(
        0.5, "probability of mirroring a training sample", low=0, high=1, on_resume=TAKES_EFFECT
    )
    jitter: float | None = key(
        None,
        "aspect ratio jitter of training samples; `None`: 0.1 for `n-caltech`, else 0.3",
        low=0,
        below=1,
        on_resume=TAKES_EFFECT,
    )
    scale_range: tuple[float, float] = key(
        (0.4, 1.0),
        "smallest and largest scale of a training sample; 1 fills the input",
        above=0,
        high=100,
        on_resume=TAKES_EFFECT,
    )
    zoom_prob: float = key(
        0.0,
        "probability of zooming a training sample, in place of `jitter` and `scale_range`",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )
    zoom_in_share: float = key(
        0.8,
        "share of the zoomed samples that are zoomed in, around a random box; the others are "
        "zoomed out",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )
    zoom_in_range: tuple[float, float] = key(
        (1.0, 1.5),
        "smallest and largest factor by which zooming in enlarges a sample that fills the input",
        low=1,
        high=100,
        on_resume=TAKES_EFFECT,
    )
    zoom_out_range: tuple[float, float] = key(
        (1.0, 1.2),
        "smallest and largest factor by which zooming out makes it smaller",
        low=1,
        high=100,
        on_resume=TAKES_EFFECT,
    )
    rotation: float = key(
        0.0,
        "largest angle by which training samples are rotated in the input, in both directions",
        low=0,
        high=180,
        unit="°",
        on_resume=TAKES_EFFECT,
    )
    rotation_prob: float = key(
        0.6, "probability of a `rotation`", low=0, high=1, on_resume=TAKES_EFFECT
    )
    shear: float = key(
        0.0,
        "largest angle by which the vertical lines of training samples are slanted, both ways",
        low=0,
        high=60,
        unit="°",
        on_resume=TAKES_EFFECT,
    )
    shear_prob: float = key(0.6, "probability of a `shear`", low=0, high=1, on_resume=TAKES_EFFECT)
    erase_prob: float = key(
        0.0,
        "probability of emptying a random rectangle of the input of a training sample",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )
    erase_range: tuple[float, float] = key(
        (0.02, 0.4),
        "smallest and largest share of the input that is emptied",
        above=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )
    max_boxes: int = key(
        50,
        "maximum number of boxes per training sample; the rest are dropped",
        low=1,
        on_resume=TAKES_EFFECT,
    )
    min_visible: float = key(
        0.0,
        "smallest share of its area that a box keeps in the input of a training sample; others are "
        "no targets",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )
    speed_aug: bool = key(
        False,
        "play the recording of each training sample at a random speed",
        on_resume=TAKES_EFFECT,
    )
    speed_range: tuple[float, float] = key(
        (0.5, 2.0),
        "smallest and largest speed of `speed_aug`; 2: twice as fast",
        low=0.01,
        high=100,
        on_resume=TAKES_EFFECT,
    )
    time_flip: float = key(
        0.0,
        "probability of playing the recording of a training sample backwards, with polarities "
        "swapped",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )


class TrainingKeys(Config):
    """Settings of the optimisation."""

    KEY_GROUP = "Training"

    seed: int | None = key(
        None,
        "random seed; `None`: a new one, which is logged",
        low=0,
        high=2**63 - 1,
        on_resume=refused("the order of the samples follows from it"),
    )
    max_epoch: int = key(300, "number of epochs; e-yolox-s: 60", low=1, on_resume=TAKES_EFFECT)
    basic_lr_per_img: float = key(
        1e-3 / 64,
        "learning rate = this × global batch size × `accumulate`",
        above=0,
        on_resume=TAKES_EFFECT,
    )
    accumulate: int = key(
        1,
        "batches of a step, computed one after the other; the mean of their gradients is used",
        low=1,
        on_resume=TAKES_EFFECT,
    )
    clip: int = key(
        1,
        "consecutive windows of a training clip, through which a memory is trained; a batch has "
        "that many clips, not frames; 1: single frames in random order",
        low=1,
        on_resume=TAKES_EFFECT,
    )
    stream_share: float = key(
        0.5,
        "share of the clips of a batch that go on where those of the batch before ended, with "
        "their memory; the others are from anywhere and begin with an empty one (`clip`)",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )
    emb_lr: float = key(
        -1.0,
        "learning rate of the embedding; below 0: that of the other weights",
        on_resume=TAKES_EFFECT,
    )
    scheduler: ScheduleName = key("yoloxwarmcos", "learning rate schedule", on_resume=TAKES_EFFECT)
    warmup_epochs: int = key(
        0, "epochs of warm-up (`warmcos`, `yoloxwarmcos`)", low=0, on_resume=TAKES_EFFECT
    )
    warmup_lr: float = key(
        0.0, "learning rate at which the warm-up starts", low=0, on_resume=TAKES_EFFECT
    )
    no_aug_epochs: int = key(
        0,
        "final epochs at the lowest learning rate (`yoloxwarmcos`)",
        low=0,
        on_resume=TAKES_EFFECT,
    )
    min_lr_ratio: float = key(
        0.05,
        "lowest learning rate as a fraction of the base rate (`yoloxwarmcos`)",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
    )
    milestones: tuple[int, ...] = key(
        (),
        "epochs after which the learning rate drops to a tenth (`multistep`)",
        low=1,
        on_resume=TAKES_EFFECT,
    )
    pct_start: float = key(
        0.3,
        "share of all steps in which the learning rate rises (`onecycle`)",
        low=0,
        below=1,
        on_resume=TAKES_EFFECT,
    )
    div_factor: float = key(
        25.0, "base rate / first learning rate (`onecycle`)", low=1, on_resume=TAKES_EFFECT
    )
    final_div_factor: float = key(
        1e4, "first / last learning rate (`onecycle`)", low=1, on_resume=TAKES_EFFECT
    )
    optimizer: OptimizerName = key(
        "ADAM",
        "optimiser; `SGD` has Nesterov momentum",
        on_resume=refused("the state of the optimiser belongs to it"),
    )
    weight_decay: float = key(
        0.0,
        "L2 penalty (with `ADAMW`: decoupled decay) on weights outside batch norm and embedding",
        low=0,
        on_resume=TAKES_EFFECT,
    )
    momentum: float = key(0.9, "momentum of `SGD`", low=0, below=1, on_resume=TAKES_EFFECT)
    clip_grad: float = key(
        0.0,
        "largest L2 norm of the gradient; a larger gradient is scaled down; 0: no limit",
        low=0,
        on_resume=TAKES_EFFECT,
    )
    precision: PrecisionName = key(
        "exact",
        "arithmetic of training and evaluation: float32 (`exact`), or mixed precision with "
        "bfloat16 or, on GPUs, float16; `--fp16`: `fp16` on a GPU, `bf16` on a CPU",
        on_resume=TAKES_EFFECT,
    )
    cuda_graphs: bool = key(
        False,
        "replay each training step on a GPU instead of starting kernel by kernel",
        on_resume=HARMLESS,
    )
    ema: bool = key(
        True,
        "evaluate and save averaged weights, with decay 0.9998·(1−exp(−n/2000))",
        on_resume=TAKES_EFFECT,
    )
    overfit_one_batch: bool = key(
        False,
        "train on the first batch only, to check that the network can fit it",
        on_resume=TAKES_EFFECT,
    )
    freeze_bn: bool = key(
        False, "freeze the running statistics of batch norm", on_resume=TAKES_EFFECT
    )
    freeze: tuple[str, ...] = key(
        (),
        "parts of the network that are not trained, e.g. `embedding,backbone`; their batch norms "
        "stay in evaluation mode",
        on_resume=refused("the state of the optimiser belongs to the trained parts"),
    )
    sync_bn: bool = key(
        False, "synchronize batch norm statistics across GPUs", on_resume=TAKES_EFFECT
    )
    patience: int = key(
        0,
        "stop after this many evaluations without a better AP; 0: never stop early",
        low=0,
        on_resume=TAKES_EFFECT,
    )


class EvaluationKeys(Config):
    """Settings of the evaluation."""

    KEY_GROUP = "Evaluation"

    eval_split: Split = key(
        "val", "evaluation split; `--test` sets `test`", on_resume=TAKES_EFFECT, scores=True
    )
    eval_interval: int = key(
        10,
        "epochs between evaluations; the last epoch is always evaluated",
        low=1,
        on_resume=TAKES_EFFECT,
    )
    eval_initial: bool = key(
        False,
        "also evaluate the untrained network and save it as `initial_ckpt.pth`",
        on_resume=refused("the untrained network is no longer there"),
    )
    eval_proph: bool = key(
        False,
        "Prophesee protocol instead of COCO, same as `--eval_proh`",
        on_resume=TAKES_EFFECT,
        scores=True,
    )
    eval_both: bool = key(
        False,
        "both protocols, same as `--both`; `eval_proph` decides which one selects the best weights",
        on_resume=TAKES_EFFECT,
    )
    test_conf: float = key(
        0.01,
        "minimum score of a detection, same as `--conf`",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
        scores=True,
    )
    nmsthre: float = key(
        0.65,
        "IoU threshold of NMS within a class, same as `--nms`",
        low=0,
        high=1,
        on_resume=TAKES_EFFECT,
        scores=True,
    )


class OutputKeys(Config):
    """Settings of the output files."""

    KEY_GROUP = "Output"

    exp_name: str | None = key(
        None,
        "name of the run directory (`-expn`); `None`: name of the experiment file",
        on_resume=HARMLESS,
    )
    output_dir: FilePath = key(
        "./YOLOX_outputs", "folder of the run directories", on_resume=HARMLESS
    )
    cache_dir: FilePath | None = key(
        None,
        "folder of the caches, on a local disk; `None`: `~/.cache/easnn` (see `XDG_CACHE_HOME`)",
        on_resume=HARMLESS,
    )
    cache_gb: float = key(
        20.0, "maximum size of the cache of `--cache`", low=0.1, unit="GB", on_resume=HARMLESS
    )
    print_interval: int = key(10, "steps between log lines", low=1, on_resume=HARMLESS)
    pictures: bool = key(
        True,
        "draw samples at each evaluation, and pictures of the run at its end",
        on_resume=HARMLESS,
    )
    save_history_ckpt: bool = key(False, "keep a checkpoint of every epoch", on_resume=HARMLESS)
    max_history: int = key(
        0,
        "number of checkpoints that `save_history_ckpt` keeps, the newest ones; 0: all",
        low=0,
        on_resume=HARMLESS,
    )
    ckpt_interval_steps: int = key(
        0, "steps between checkpoints within an epoch; 0: none", low=0, on_resume=HARMLESS
    )


class ExperimentKeys(
    OutputKeys,
    EvaluationKeys,
    TrainingKeys,
    MemoryKeys,
    DataKeys,
    FrameKeys,
    EmbeddingKeys,
    RecurrenceKeys,
    DetectorKeys,
):
    """All keys; :class:`~easnn.exp.event_exp.EventExp` builds the parts of a run from them."""
