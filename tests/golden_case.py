"""One golden case: a detector built from its options, filled with its weights."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from easnn.models import (
    DetectorConfig,
    EventDetector,
    SpikeMode,
    build_detector,
    load_published_state_dict,
)

CASES = (
    "m_ncaltech",
    "m_ncaltech_published",
    "s_ann",
    "s_ann_count",
    "s_backbone_spiking",
    "s_full_spike",
    "s_full_spike_v2",
    "s_ncaltech_published_full",
    "s_rsnn_embedding",
    "s_snn_embedding",
)
"""Names of all cases."""

SIZES = {"e-yolox-s": (0.33, 0.5), "e-yolox-m": (0.67, 0.75)}


def fill(name: str, shape: list[int], seed: int) -> np.ndarray:
    """Return the weights that a published name stands for, as the golden folder's README says."""
    rng = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    leaf, n = name.rsplit(".", 1)[-1], int(np.prod(shape)) if len(shape) else 1
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    z = rng.standard_normal(n).reshape(shape)
    if leaf == "running_var":
        v = 0.5 + rng.random_sample(n).reshape(shape)
    elif leaf == "running_mean":
        v = 0.1 * z
    elif leaf in ("w", "decay"):
        v = 0.3 * z
    elif leaf == "bias":
        v = 0.1 * z
    elif leaf == "weight" and len(shape) == 1:
        v = 1.0 + 0.2 * z
    else:
        gain = 2.0 if any(s in name for s in ("gate_conv", "input_conv", "embedding_conv")) else 1.4
        v = z * gain / np.sqrt(int(np.prod(shape[1:])))
    return np.asarray(v, dtype=np.float32)


def config_of(expected: dict[str, Any]) -> DetectorConfig:
    """Translate a case's experiment options."""
    opts = expected["opts"]
    depth, width = SIZES[expected["exp"]]
    return DetectorConfig(
        num_classes=int(opts["num_classes"]),
        depth=depth,
        width=width,
        use_spike=SpikeMode(opts["use_spike"]),
        spike_fn=opts["spike_fn"],
        alpha=float(opts.get("alpha", 2.0)),
        T=int(opts["T"]),
        stem="conv" if opts["data_name"] == "n-caltech" else "focus",
        embedding=opts["embedding"],
        embedding_depth=int(opts["embedding_depth"]),
        embedding_ksize=int(opts["embedding_ksize"]),
        thresh=float(opts["thresh"]),
        readout=opts["readout"],
        spike_attach=opts["spike_attach"] == "True",
        write_zero=opts["write_zero"] == "True",
    )


@dataclass(frozen=True)
class GoldenCase:
    """Inputs and expected numbers of one case."""

    expected: dict[str, Any]
    events: torch.Tensor
    targets: torch.Tensor
    embedding: torch.Tensor
    outputs: torch.Tensor

    @classmethod
    def read(cls, golden: Path, name: str) -> GoldenCase:
        expected = json.loads((golden / "model" / f"{name}.json").read_text())
        with np.load(golden / "model" / f"{name}.npz") as arrays:
            tensors = [
                torch.from_numpy(arrays[key]).double()
                for key in ("events", "targets", "embedding", "outputs")
            ]
        return cls(expected, *tensors)

    def model(self) -> EventDetector:
        """Build the float64 detector of this case."""
        model = build_detector(config_of(self.expected)).double()
        seed = self.expected["seed"]
        weights = {
            name: torch.from_numpy(fill(name, shape, seed))
            for name, shape in self.expected["state_dict"]
        }
        load_published_state_dict(model, weights)
        return model
