"""What the command line tells about the code behind it: choices, defaults and names of files.

It is apart from that code, so that a parser can be built without torch and other slow imports.
"""

from __future__ import annotations

from typing import Literal, get_args

CacheKind = Literal["ram", "disk"]
"""Where frames are cached: ``--cache``."""

RuntimeName = Literal["torch", "compiled", "openvino", "onnx"]
RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
"""What computes the network in inference; the first is the default."""

PrecisionName = Literal["exact", "bf16", "fp16"]
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
"""Values of the key ``precision``: float32, or mixed precision with bfloat16 or float16."""

WRITERS = ("tensorboard", "wandb")
"""Choices of ``--logger``."""

CONFIDENCE = 0.3
"""Default minimum score of a detection that is shown."""

CLIP_FORMATS = ("gif", "mp4")
"""Formats of a clip, the default first."""

PICTURES = "pictures"
"""Name of the folder of pictures in a run directory."""

EVENTS_SUFFIX = "_td.dat"
BOXES_SUFFIX = "_bbox.npy"
"""Ends of the names of a recording's two files in the layout of Prophesee's datasets."""

RVT_DATASETS = ("gen1", "gen4", "gen4-all")
"""The datasets that ``easnn preprocess`` knows."""

SPIKE_MODES = ("False", "True", "full_spike", "full_spike_v2")
"""Values of the key ``use_spike``: which parts of the network spike."""

STREAM_FORMATS = ("evt2", "evt21", "evt3", "dat")
"""Encodings of a stream without a header: ``easnn watch --format``."""

PACES = ("live", "fast")
"""Choices of ``easnn watch --pace``, the default first."""
