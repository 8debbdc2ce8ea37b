"""Runtimes: what they compute, their errors, and that a detection depends on its frame alone."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
import pytest
import torch
from lively import TINY, event_counts, lively_detector
from torch import Tensor

from easnn.evaluation import FrameResult, build_evaluator
from easnn.inference import Predictor
from easnn.inference.runtimes import build_inference
from easnn.inference.runtimes.export import exported
from easnn.kernels import Kernels, use_kernels
from easnn.models import DetectorConfig, EventDetector, SpikeMode, build_detector
from easnn.representations import FrameSpec
from easnn.utils.errors import ConfigError
from easnn.utils.options import RUNTIMES, PrecisionName, RuntimeName

CPU = torch.device("cpu")
HW = (32, 64)
FRAMES = 5
SMALL = TINY.replace(
    use_spike=SpikeMode.BACKBONE, T=2, depth=0.01, width=0.0625, embedding_depth=1, write_zero=True
)
NEEDED = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
COMPILED: tuple[RuntimeName, ...] = ("compiled", "openvino", "onnx")


def skip_unless_available(runtime: RuntimeName) -> None:
    """Skip a test if a package or a compiler is missing."""
    for package in NEEDED.get(runtime, ()):
        pytest.importorskip(package)
    if runtime == "compiled" and not has_cpp_compiler():
        pytest.skip("there is no C++ compiler")


def has_cpp_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False


@cache
def events() -> Tensor:
    return event_counts(frames=FRAMES, slices=4, hw=HW)


@cache
def detector(*, surer: bool) -> EventDetector:
    """Return a network; ``surer`` makes another one that sees objects nearly everywhere."""
    model = lively_detector(SMALL, events())
    # Native kernels compute the sampler in float32 even in mixed precision; the runtimes do not.
    use_kernels(model, Kernels.PLAIN)
    if surer:
        for level in model.head.levels:
            torch.nn.init.constant_(level.object_out.bias, 6.0)
    return model


def predictor(runtime: RuntimeName, *, precision: PrecisionName = "exact") -> Predictor:
    """Return a predictor, made once; in mixed precision it has another network."""
    skip_unless_available(runtime)
    return made_predictor(runtime, precision)


@cache
def made_predictor(runtime: RuntimeName, precision: PrecisionName) -> Predictor:
    return Predictor(
        detector(surer=precision != "exact"),
        FrameSpec(),
        input_hw=HW,
        confidence=0,
        precision=precision,
        runtime=runtime,
    )


def outputs(
    runtime: RuntimeName, *, size: int, threads: int, precision: PrecisionName = "exact"
) -> list[Tensor]:
    """Return the detections of each frame, observed in groups of a size by a number of threads."""
    torch.set_num_threads(threads)
    groups = [
        predictor(runtime, precision=precision).observe_all(list(group))
        for group in events().split(size)
    ]
    return [
        tensor for group in groups for seen in group for tensor in (seen.detections, seen.written)
    ]


def in_order_of(expected: Tensor, found: Tensor) -> Tensor:
    """Return the rows of ``found``, each where ``expected`` has the one that is nearest to it.

    Rounding exchanges detections whose scores are nearly equal.
    """
    assert found.shape == expected.shape
    places = torch.cdist(found, expected).argmin(dim=1)
    assert len(places.unique()) == len(expected)
    return found[places.argsort()]


def average_precision(runtime: RuntimeName) -> float:
    """Score detections; the ground truth is every third of the 30 best that torch finds."""
    evaluator = build_evaluator("coco", ["car", "pedestrian"], split="val", sensor_hw=HW)
    evaluator.reset()
    frames = []
    for n, frame in enumerate(events()):
        truth = predictor("torch").observe(frame).detections[:30:3].numpy()
        rows = predictor(runtime).observe(frame).detections.numpy()
        frames.append(FrameResult(n, 1000 * n, "s", np.delete(truth, 1, axis=1), rows))
    evaluator.process(frames)
    return evaluator.evaluate().ap


@pytest.mark.parametrize("runtime", COMPILED)
class TestCompiledRuntimes:
    def test_detections_are_those_of_torch_up_to_rounding(self, runtime: RuntimeName) -> None:
        for frame in events():
            expected, found = (predictor(name).observe(frame) for name in ("torch", runtime))
            torch.testing.assert_close(found.written, expected.written, rtol=1e-5, atol=1e-5)
            assert torch.equal(
                found.detections[:, 1], found.detections[:, 1].sort(descending=True)[0]
            )
            torch.testing.assert_close(
                in_order_of(expected.detections, found.detections),
                expected.detections,
                rtol=1e-4,
                atol=1e-3,
            )

    def test_average_precision_is_that_of_torch(self, runtime: RuntimeName) -> None:
        expected = average_precision("torch")
        assert 0.1 < expected < 1
        assert average_precision(runtime) == pytest.approx(expected, abs=1e-3)

    def test_a_detection_depends_on_its_frame_alone(self, runtime: RuntimeName) -> None:
        alone = outputs(runtime, size=1, threads=1)
        assert not torch.equal(alone[0], alone[2])  # frames differ
        for size, threads in ((FRAMES, 1), (FRAMES, 4), (2, 2)):
            grouped = outputs(runtime, size=size, threads=threads)
            assert all(torch.equal(a, b) for a, b in zip(alone, grouped, strict=True))

    def test_internal_states_need_torch(self, runtime: RuntimeName) -> None:
        with pytest.raises(ConfigError, match=f"`runtime` is {runtime}. Use torch"):
            predictor(runtime).observe(events()[0], trace=True)


@pytest.mark.parametrize("runtime", ["compiled", "openvino"])
class TestMixedPrecision:
    def test_a_detection_depends_on_its_frame_alone(self, runtime: RuntimeName) -> None:
        alone = outputs(runtime, size=1, threads=1, precision="bf16")
        grouped = outputs(runtime, size=FRAMES, threads=3, precision="bf16")
        assert all(torch.equal(a, b) for a, b in zip(alone, grouped, strict=True))

    def test_the_embedding_writes_what_it_writes_in_torch(self, runtime: RuntimeName) -> None:
        """Later layers cannot be compared: spikes flip."""
        expected, written, exact = (
            torch.stack(outputs(name, size=1, threads=1, precision=precision)[1::2])
            for name, precision in (("torch", "bf16"), (runtime, "bf16"), ("torch", "exact"))
        )
        assert written.dtype == torch.float32
        assert not torch.equal(written, exact)
        # Where a spike of the sampler flips. OpenVINO can compute in float32 what a processor does
        # not have in bfloat16, and is then near to the exact network.
        shares = [((written - near).abs() > 0.1).float().mean() for near in (expected, exact)]
        assert min(shares) < 0.01

    def test_each_network_keeps_its_weights(self, runtime: RuntimeName) -> None:
        scores, of_surer = (
            predictor(runtime, precision=precision).observe(events()[0]).detections[:, 1]
            for precision in ("exact", "bf16")
        )
        assert of_surer.max() > 10 * scores.max()


@pytest.mark.parametrize(
    "config",
    [
        SMALL.replace(use_spike=SpikeMode.NONE, T=1),
        SMALL.replace(use_spike=SpikeMode.FULL, spike_fn="patan"),
        SMALL.replace(use_spike=SpikeMode.FULL_V2, Ts=2, readout="avg"),
        SMALL.replace(embedding="rsnn", stem="conv", depthwise=True),
        SMALL.replace(embedding="snn", reset=None, norm="bn", abs=True),
        SMALL.replace(embedding="count", readout="last"),
    ],
    ids=["analog", "full", "full_v2", "rsnn", "snn", "count"],
)
def test_every_network_can_be_exported(config: DetectorConfig) -> None:
    model = lively_detector(config, events())
    example = events()[:1]
    with torch.no_grad():
        graph = exported(model, torch.zeros_like(example), precision="exact").module()
        written, found = graph(example)
        torch.testing.assert_close(written, model.embedding(example), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found, model(example), rtol=1e-4, atol=1e-4)


class TestErrors:
    def build(
        self, runtime: str, *, device: torch.device = CPU, precision: PrecisionName = "exact"
    ) -> None:
        build_inference(runtime, detector(surer=False), (1, 4, 2, *HW), device, precision)

    def test_an_unknown_runtime(self) -> None:
        with pytest.raises(ConfigError) as error:
            self.build("onx")
        assert str(error.value) == (
            "`runtime` must be one of torch, compiled, openvino, onnx, but is onx. "
            "Did you mean `onnx`?"
        )

    @pytest.mark.parametrize("runtime", COMPILED)
    def test_a_memory(self, runtime: RuntimeName) -> None:
        model = build_detector(SMALL.replace(memory="spiking"))
        with pytest.raises(ConfigError) as error:
            build_inference(runtime, model, (1, 4, 2, *HW), CPU, "exact")
        assert str(error.value) == (
            "`runtime` must be torch for a network with `memory` spiking, whose state the others "
            f"do not carry, but is {runtime}."
        )

    @pytest.mark.parametrize("runtime", list(NEEDED))
    def test_a_missing_package(self, runtime: RuntimeName, monkeypatch: pytest.MonkeyPatch) -> None:
        packages = NEEDED[runtime]
        there = importlib.util.find_spec("easnn")
        monkeypatch.setattr(
            "easnn.inference.runtimes.export.find_spec",
            lambda name: None if name == packages[-1] else there,
        )
        with pytest.raises(ConfigError) as error:
            self.build(runtime)
        assert str(error.value) == (
            f"The runtime `{runtime}` needs the packages {', '.join(packages)}, but not installed: "
            f"{packages[-1]}. Run `pip install 'easnn[{runtime}]'`."
        )

    def test_a_missing_compiler(self) -> None:
        from torch._inductor import config

        with (
            config.patch({"cpp.cxx": ("no-such-compiler",)}),
            pytest.raises(ConfigError, match=r"needs a C\+\+ compiler.*Install g"),
        ):
            self.build("compiled")

    @pytest.mark.parametrize("runtime", list(NEEDED))
    def test_a_gpu(self, runtime: RuntimeName, monkeypatch: pytest.MonkeyPatch) -> None:
        there = importlib.util.find_spec("easnn")
        monkeypatch.setattr("easnn.inference.runtimes.export.find_spec", lambda name: there)
        with pytest.raises(ConfigError, match="computes on the CPU, but the network is on cuda:0"):
            self.build(runtime, device=torch.device("cuda", 0))

    def test_onnx_in_mixed_precision(self, monkeypatch: pytest.MonkeyPatch) -> None:
        there = importlib.util.find_spec("easnn")
        monkeypatch.setattr("easnn.inference.runtimes.export.find_spec", lambda name: there)
        with pytest.raises(ConfigError, match="`onnx` computes in float32 only"):
            self.build("onnx", precision="bf16")


def test_the_default_is_torch() -> None:
    assert RUNTIMES[0] == "torch"
    assert predictor("torch").runtime == "torch"
