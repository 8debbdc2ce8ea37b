"""The keys of every experiment: name, default, what fits and what it means, each declared once, here."""

from __future__ import annotations

from typing import Literal, get_args

from easnn.data import DATASETS, SPLITS
from easnn.engine import OPTIMIZERS, SCHEDULES
from easnn.exp.key import Key
from easnn.exp.kinds import boolean, choice, integer, member, optional, pair, real, several, words
from easnn.exp.settings import Settings
from easnn.models.config import (
    ActivationName,
    EmbeddingKind,
    Readout,
    SpikeMode,
    StemKind,
    SurrogateName,
)
from easnn.representations import CHANNELS, Measure, Slicing

SIDE = integer(low=32, multiple_of=32)


class DetectorKeys(Settings):
    """Keys of the network behind the embedding."""

    KEY_GROUP = "Detector"

    num_classes = Key(100, integer(low=1), "classes; must be those of the dataset")
    depth = Key(1.0, real(above=0), "multiplier of the residual blocks; s 0.33, m 0.67, l 1")
    width = Key(1.0, real(above=0), "multiplier of the channels; s 0.5, m 0.75, l 1")
    stem: Key[StemKind] = Key(
        "focus",
        choice(*get_args(StemKind)),
        "first layer: `focus` never spikes, `conv` spikes (published N-Caltech101 results)",
    )
    depthwise = Key(False, boolean(), "separable 3×3 convolutions behind the stem, as in YOLOX-nano")
    act: Key[ActivationName] = Key(
        "silu", choice(*get_args(ActivationName)), "activation of the parts that do not spike"
    )
    use_spike = Key(
        SpikeMode.NONE,
        member(SpikeMode),
        "spiking parts: none, backbone (`True`), and FPN (`full_spike`), and head (`full_spike_v2`)",
    )
    spike_fn: Key[SurrogateName] = Key(
        "atan",
        choice(*get_args(SurrogateName)),
        "surrogate gradient of the neurons; `patan` is an atan that learns its sharpness",
    )
    alpha = Key(2.0, real(above=0), "sharpness of the surrogate gradient (`patan`: at the start)")
    T = Key(4, integer(low=1), "time steps of the spiking parts")


class EmbeddingKeys(Settings):
    """Keys of the embedding, which turns event counts into the frames that the detector sees."""

    KEY_GROUP = "Embedding"

    embedding: Key[EmbeddingKind] = Key(
        "count",
        choice(*get_args(EmbeddingKind)),
        "adaptive sampling (`arsnn`), the same without segments, leaky integrator, plain sum",
    )
    embedding_depth = Key(1, integer(low=1), "convolutions per branch")
    embedding_ksize = Key(7, integer(low=1, odd=True), "kernel size of the convolutions", unit="px")
    Ts = Key(1, integer(low=1), "segments that `arsnn` writes per pixel: 1, or `T`")
    spike_attach = Key(False, boolean(), "spike-aware training (SAT): a segment carries its spike's gradient")
    write_zero = Key(
        False, boolean(), "residual potential dropout (RPD): nothing is written after the last spike"
    )
    readout: Key[Readout] = Key(
        "sum", choice(*get_args(Readout)), "what is written of the membrane; `avg`: `arsnn` only"
    )
    thresh = Key(1.0, real(), "a spike is fired strictly above it")
    reset = Key(0.0, optional(real()), "membrane after a spike; `None` subtracts `thresh` (soft reset)")
    decay = Key(0.5, real(above=0, below=1), "membrane decay of `snn` at the start; it is learned")
    abs: Key[bool | Literal["split"]] = Key(
        False,
        choice(False, True, "split"),
        "ReLU on the output; `split` is accepted because published commands have it, but never did anything",
    )
    norm: Key[Literal["bn"] | None] = Key(None, optional(choice("bn")), "batch norm on the output")


class DataKeys(Settings):
    """Keys of the datasets, the representation of events, and the augmentation."""

    KEY_GROUP = "Data"

    data_name = Key("n-caltech", choice(*DATASETS), "dataset")
    data_dir = Key(
        None,
        optional(words()),
        "its folder, looked for here and in the checkout; `None`: `datasets/DATA_NAME`",
    )
    train_splits = Key(
        ("train",), several(choice(*SPLITS)), "splits to train on; the published results: `train,val`"
    )
    Tl = Key(
        1,
        integer(low=1),
        "macro slices of a sample, oldest first; with `event_sum` the histograms, else 1",
    )
    Tm = Key(4, integer(low=1), "micro slices of a window: sampling steps of the embedding")
    window = Key(
        -200, integer(high=0), "start of the window before the label; 0: the whole recording", unit="ms"
    )
    aggregation = Key(
        "micro_sum",
        choice(*CHANNELS),
        "how events become arrays (formats.md); `event_sum` is for RVT-preprocessed data, and only that",
    )
    slicing: Key[Slicing] = Key(
        "extent",
        choice(*get_args(Slicing)),
        "what micro slices divide: first to last event (`extent`, as published) or the whole `window`",
    )
    measure: Key[Measure] = Key(
        "count",
        choice(*get_args(Measure)),
        "what an event adds to its pixel: 1, or less the older it is (`timesurface`)",
    )
    tau = Key(
        None,
        optional(real(low=0.001)),
        "time in which an event fades to 1/e (`timesurface`); `None`: 10 for `n-caltech`, else 50",
        unit="ms",
    )
    downsample = Key(
        1,
        choice(1, 2),
        "2 halves the resolution of events and boxes, e.g. `gen4` to 640×360",
    )
    input_size = Key((640, 640), pair(SIDE), "height,width seen in training", unit="px")
    test_size = Key((640, 640), pair(SIDE), "height,width seen in evaluation", unit="px")
    data_num_workers = Key(4, integer(low=0), "processes that load data; 0: the training process does")
    flip_prob = Key(0.5, real(low=0, high=1), "probability of mirroring a training sample")
    jitter = Key(
        None,
        optional(real(low=0, below=1)),
        "how far the aspect ratio of a training sample may change; `None`: 0.1 for `n-caltech`, else 0.3",
    )
    scale_range = Key(
        (0.4, 1.0),
        pair(real(above=0)),
        "smallest and largest scale of a training sample; 1 fills the input",
    )
    max_boxes = Key(50, integer(low=1), "boxes per training sample; further ones are left out")
    speed_aug = Key(False, boolean(), "play the recording of each training sample at a random speed")
    speed_range = Key(
        (0.5, 2.0),
        pair(real(low=0.01, high=100)),
        "smallest and largest speed of `speed_aug`; 2: twice as fast",
    )


class TrainingKeys(Settings):
    """Keys of the optimisation."""

    KEY_GROUP = "Training"

    seed = Key(
        None, optional(integer(low=0, high=2**63 - 1)), "seed of all randomness; `None`: a new one, printed"
    )
    max_epoch = Key(300, integer(low=1), "epochs; e-yolox-s: 60")
    basic_lr_per_img = Key(1e-3 / 64, real(above=0), "learning rate = this × global batch size")
    emb_lr = Key(-1.0, real(), "learning rate of the embedding; below 0: that of the rest")
    scheduler = Key("yoloxwarmcos", choice(*SCHEDULES), "how the learning rate changes")
    warmup_epochs = Key(0, integer(low=0), "epochs of warm-up (`warmcos`, `yoloxwarmcos`)")
    warmup_lr = Key(0.0, real(low=0), "learning rate at which the warm-up starts")
    no_aug_epochs = Key(0, integer(low=0), "last epochs, at the lowest learning rate (`yoloxwarmcos`)")
    min_lr_ratio = Key(
        0.05, real(low=0, high=1), "lowest learning rate as part of the full one (`yoloxwarmcos`)"
    )
    milestones = Key(
        (), several(integer(low=1)), "epochs after which the rate falls to a tenth (`multistep`)"
    )
    optimizer = Key("ADAM", choice(*OPTIMIZERS), "optimiser")
    weight_decay = Key(0.0, real(low=0), "L2 penalty on weights outside batch norm and embedding")
    momentum = Key(0.9, real(low=0, below=1), "momentum of `SGD`")
    ema = Key(True, boolean(), "evaluate and save averaged weights, decay 0.9998·(1−exp(−n/2000))")
    overfit_one_batch = Key(
        False, boolean(), "train on the first batch only: can the network learn it by heart?"
    )
    freeze_bn = Key(False, boolean(), "batch norm keeps its running statistics")
    sync_bn = Key(False, boolean(), "batch norm statistics over all GPUs")
    patience = Key(
        0, integer(low=0), "evaluations without a better AP after which to stop; 0: never stop early"
    )


class EvaluationKeys(Settings):
    """Keys of the evaluation."""

    KEY_GROUP = "Evaluation"

    eval_split = Key("val", choice(*SPLITS), "split to evaluate on; `--test` means `test`")
    eval_interval = Key(10, integer(low=1), "epochs between evaluations; the last is always evaluated")
    eval_initial = Key(
        False, boolean(), "evaluate the untrained network, too, and keep it as `initial_ckpt.pth`"
    )
    eval_proph = Key(False, boolean(), "Prophesee protocol instead of COCO, same as `--eval_proh`")
    eval_both = Key(
        False,
        boolean(),
        "score by both protocols, same as `--both`; `eval_proph` says which one chooses the best weights",
    )
    test_conf = Key(0.01, real(low=0, high=1), "lowest score of a detection, same as `--conf`")
    nmsthre = Key(0.65, real(low=0, high=1), "highest IoU of two detections of a class, same as `--nms`")


class OutputKeys(Settings):
    """Keys of what is written where."""

    KEY_GROUP = "Output"

    exp_name = Key(
        None, optional(words()), "name of the run directory (`-expn`); `None`: that of the experiment file"
    )
    output_dir = Key("./YOLOX_outputs", words(), "folder of the run directories")
    cache_dir = Key(
        None,
        optional(words()),
        "folder of the caches, on a disk of this machine; `None`: `~/.cache/easnn` (see `XDG_CACHE_HOME`)",
    )
    cache_gb = Key(20.0, real(low=0.1), "most that the cache of `--cache` may take", unit="GB")
    print_interval = Key(10, integer(low=1), "steps between two lines of the log")
    pictures = Key(
        True,
        boolean(),
        "draw samples at each evaluation, and pictures of the run at its end",
    )
    save_history_ckpt = Key(False, boolean(), "keep a checkpoint of every epoch")
    ckpt_interval_steps = Key(0, integer(low=0), "steps between checkpoints within an epoch; 0: none")


class ExperimentKeys(OutputKeys, EvaluationKeys, TrainingKeys, DataKeys, EmbeddingKeys, DetectorKeys):
    """All keys; :class:`~easnn.exp.event_exp.EventExp` builds from them."""
