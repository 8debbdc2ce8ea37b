"""Runtimes are further rows of ``forward`` and ``latency``."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lively import event_counts, lively_detector
from test_sections import TINY

from easnn.benchmark import SECTIONS, run_section
from easnn.benchmark.runtimes import in_every_runtime, runtime_inference
from easnn.inference.runtimes import Inference
from easnn.models import DetectorConfig
from easnn.utils.errors import ConfigError

OWN = ["easnn, plain kernels", "easnn", "easnn, norms folded"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("easnn.benchmark.timing.MIN_SECONDS", 0.0)
    monkeypatch.setattr("easnn.benchmark.inputs.EVENTS_PER_S", 20_000)


@pytest.fixture
def fast_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build nothing; openvino is missing, and onnx has no mixed precision."""

    def build(runtime, model, frame_shape, device, precision):
        assert frame_shape == (1, 4, 2, 32, 64)
        if runtime == "openvino" or (runtime == "onnx" and precision != "exact"):
            raise ConfigError(f"{runtime} cannot.")
        return Inference.of_modules(model, precision)

    monkeypatch.setattr("easnn.benchmark.runtimes.build_inference", build)
    monkeypatch.setattr("easnn.inference.predictor.build_inference", build)


@pytest.mark.usefixtures("fast_builds")
@pytest.mark.parametrize(
    ("section", "own"), [("forward", ["published", *OWN]), ("latency", ["easnn"])]
)
def test_rows_of_runtimes_and_what_is_left_out(section: str, own: list[str]) -> None:
    settings = replace(TINY, runtimes=("torch", "compiled", "openvino", "onnx"))
    result = run_section(SECTIONS[section], settings, None)
    in_both = [f"{name}, {precision}" for name in own for precision in ("exact", "bf16")]
    first = [] if section == "forward" else ["published, exact"]
    for case in result.cases:
        names = [row.name for row in case.variants]
        assert names == [*first, *in_both, "compiled, exact", "compiled, bf16", "onnx, exact"]
        assert case.notes == ("Not measured: openvino cannot.", "Not measured: onnx cannot.")
    assert result.table().splitlines()[-2:] == list(result.cases[0].notes)


def test_only_the_runtimes_that_are_wanted_are_built() -> None:
    settings = replace(TINY, runtimes=("onnx", "torch"), precisions=("bf16",))
    built, notes = in_every_runtime(settings, lambda *names: names)
    assert (built, notes) == ({("onnx", "bf16"): ("onnx", "bf16")}, ())


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_a_runtime_computes_every_frame(runtime) -> None:
    if runtime == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
    events = event_counts(frames=3, slices=4, hw=(32, 64))
    config = DetectorConfig(T=2, depth=0.01, width=0.0625, embedding_depth=1, write_zero=True)
    model = lively_detector(config, events)
    outputs = runtime_inference(model, events, runtime, "exact")()
    with torch.inference_mode():
        expected = [model(frame) for frame in events.split(1)]
    torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=1e-3)
