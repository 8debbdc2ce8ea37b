"""Every section runs, with tiny networks and few rounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from easnn.analysis import measure_energy
from easnn.benchmark import (
    SECTIONS,
    Ceilings,
    Settings,
    peak_memory,
    run_section,
    torch_threads,
)
from easnn.benchmark.implementations import (
    IMPLEMENTATIONS,
    VALUE_BYTES,
    Implementation,
    network_of,
)
from easnn.benchmark.inputs import head_outputs, network_events, network_targets
from easnn.benchmark.peak_memory import StepRequest, peak_bytes
from easnn.benchmark.raw_files import camera_bursts
from easnn.benchmark.results import CaseResult, SectionResult, VariantResult
from easnn.benchmark.sections import scaling
from easnn.benchmark.timing import Spread
from easnn.benchmark.work import detector_work, sampler_work
from easnn.events import native_calls
from easnn.models import ParametricLIF
from easnn.utils.errors import ConfigError, TrainingError

CEILINGS = Ceilings(fp32_flops=1e9, bf16_flops=2e9, copy_bytes_per_s=1e9)
TINY = Settings(
    sizes=((32, 64),),
    runtimes=("torch",),
    rounds=1,
    frames=20,
    workers=(0,),
    quick=True,
    words=("depth", "0.33", "width", "0.0625", "embedding_depth", "1", "embedding_ksize", "3"),
)
BOTH = ["published", "easnn"]
KERNELS = ["published", "easnn, plain kernels", "easnn"]
NETWORKS = [f"{name}, {precision}" for name in KERNELS for precision in ("exact", "bf16")]
DECODERS = ["NumPy", "native"] if native_calls.library() else ["NumPy"]
BURSTS = 300
FOLDED = ["easnn, norms folded, exact", "easnn, norms folded, bf16"]

CASES = {
    "decode": [
        ({"format": name, "events": f"{len(camera_bursts(BURSTS).events()):,}"}, DECODERS)
        for name in ("DAT", "EVT2", "EVT2.1", "EVT3")
    ],
    "load": [({"size": "32x64", "workers": "0"}, BOTH)],
    "augment": [({"size": "32x64"}, BOTH)],
    "sampler": [
        ({"size": "32x64", "pass": "forward"}, KERNELS),
        ({"size": "32x64", "pass": "backward too"}, KERNELS),
    ],
    "forward": [
        ({"model": "e-yolox-s", "size": "32x64", "use_spike": "True"}, [*NETWORKS, *FOLDED])
    ],
    "step": [({"model": "e-yolox-s", "size": "32x64", "use_spike": "True"}, NETWORKS)],
    "assignment": [
        ({"size": "32x64", "classes": classes, "boxes": "30"}, BOTH) for classes in ("2", "100")
    ],
    "nms": [({"size": "32x64", "candidates": "10"}, BOTH)],
    "evaluation": [
        ({"frames": "20"}, ["published (pycocotools)", "easnn (faster-coco-eval)"]),
    ],
    "latency": [
        (
            {"model": "e-yolox-s", "size": "32x64", "use_spike": "True", "windows": windows},
            ["published, exact", "easnn, exact", "easnn, bf16"],
        )
        for windows in ("1", "4")
    ],
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not repeat what is short."""
    monkeypatch.setattr("easnn.benchmark.timing.MIN_SECONDS", 0.0)
    monkeypatch.setattr("easnn.benchmark.inputs.EVENTS_PER_S", 20_000)
    monkeypatch.setattr("easnn.benchmark.sections.decode.QUICK_BURSTS", BURSTS)


def rows_of(result: SectionResult) -> list[tuple[dict[str, str], list[str]]]:
    return [(case.labels, [row.name for row in case.variants]) for case in result.cases]


@pytest.mark.parametrize("name", CASES)
def test_the_rows_of_a_section(name: str) -> None:
    section = SECTIONS[name]
    result = run_section(section, TINY, CEILINGS if section.has_work else None)
    assert rows_of(result) == CASES[name]
    for case in result.cases:
        for row in case.variants:
            assert len(row.values) == TINY.rounds
            assert row.value.low > 0
            assert (row.reached is not None) == section.has_work
        first = case.variants[0]
        assert (first.ratio.low, first.ratio.high) == (1, 1)
    table = result.table()
    assert table.startswith(f"{section.title} ({name})\n")
    assert all(row in table for _, rows in CASES[name] for row in rows)


def test_a_rate_of_events_is_shown_instead_of_the_time_of_an_event() -> None:
    rows = (VariantResult("NumPy", (2e-8, 4e-8, 1e-8), Spread(1, 1, 1)),)
    result = SectionResult(SECTIONS["decode"], (CaseResult({"format": "DAT"}, rows),))
    lines = [re.split(" {2,}", line) for line in result.table().splitlines()]
    assert lines[2] == ["format", "variant", "Mevents/s", "ratio"]
    assert lines[4] == ["DAT", "NumPy", "50.0 (25.0–100)", "×1.00 (1.00–1.00)"]
    assert result.to_dict()["unit"] == "seconds per event"


def test_without_native_decoders_there_is_nothing_to_compare() -> None:
    with native_calls.numpy_only():
        result = run_section(SECTIONS["decode"], TINY, None)
    assert [rows for _, rows in rows_of(result)] == [["NumPy"]] * 4
    assert result.table().splitlines()[-1] == "The native decoders are not available here."


def test_scaling_varies_one_setting_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"T": (1, 2), "Tm": (2,), "batch": (3,), "size": (1, 2), "recordings": (2, 3)}
    monkeypatch.setattr(scaling, "VALUES", values)
    result = run_section(SECTIONS["scaling"], TINY, None)
    networks = [
        {"varied": varied, "value": value}
        for varied, value in [
            *(("T", "1"), ("T", "2"), ("Tm", "2"), ("batch", "3")),
            *(("size", "32x64"), ("size", "64x128")),
        ]
    ]
    rows = [*NETWORKS[::2], FOLDED[0]]
    starts = [
        ({"varied": "recordings", "value": value}, ["easnn, labels read", "easnn, labels cached"])
        for value in ("2", "3")
    ]
    assert rows_of(result) == [*((labels, rows) for labels in networks), *starts]
    assert result.table().splitlines()[-1] == scaling.NOTE


def test_memory_is_measured_for_every_way_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = dict(zip(KERNELS, (6e6, 3e6, 1e6), strict=True))  # bytes per byte of a value
    monkeypatch.setattr(
        "easnn.benchmark.sections.network.peak_bytes",
        lambda request: needed[request.implementation] * VALUE_BYTES[request.precision],
    )
    result = run_section(SECTIONS["memory"], TINY, None)
    [case] = result.cases
    assert {row.name: row.ratio.median for row in case.variants} == {
        "published, exact": 1,
        "published, bf16": 2,
        "easnn, plain kernels, exact": 2,
        "easnn, plain kernels, bf16": 4,
        "easnn, exact": 6,
        "easnn, bf16": 12,
    }
    assert "MB" in result.table()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_peak_memory_holds_weights_and_activations() -> None:
    request = StepRequest("e-yolox-s", (32, 64), "True", TINY.words, 16, 1, "easnn", "exact")
    experiment = TINY.experiment("e-yolox-s", (32, 64), "True")
    weights = sum(p.numel() for p in experiment.get_model().parameters())
    work = detector_work(experiment.get_model(), network_events(experiment, 1))
    # Weights, gradients, two moments, moving average; outputs of all layers
    least = 4 * (5 * weights + 16 * work.values / 3)
    assert least < peak_bytes(request) < 2e9


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_what_stops_the_process_that_measures_memory_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peak_memory, "PROGRAM", "import sys; sys.exit('out of memory')")
    request = StepRequest("e-yolox-s", (32, 64), "True", TINY.words, 1, 1, "easnn", "exact")
    with pytest.raises(TrainingError, match=r"ended with code 1 .*: out of memory$"):
        peak_bytes(request)


def test_without_proc_the_section_memory_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peak_memory, "STATUS", tmp_path / "status")
    with pytest.raises(ConfigError, match=r"^The section `memory` needs .*, which only Linux has"):
        run_section(SECTIONS["memory"], TINY, None)


def test_a_request_survives_the_way_to_another_process() -> None:
    request = StepRequest("e-yolox-s", (32, 64), "True", ("T", "2"), 2, 1, "easnn", "bf16")
    assert StepRequest.from_json(request.to_json()) == request


def test_without_pycocotools_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "easnn.benchmark.sections.detections.pycocotools_is_installed", lambda: False
    )
    result = run_section(SECTIONS["evaluation"], TINY, None)
    assert rows_of(result) == [({"frames": "20"}, ["easnn (faster-coco-eval)"])]
    assert result.table().splitlines()[-1] == (
        "pycocotools is not installed, so there is nothing to compare with."
    )


def test_the_files_of_a_section_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = []
    for case in SECTIONS["load"].cases(TINY):
        made.append([path.name for path in tmp_path.iterdir()])
        case.close()
    assert [len(names) for names in made] == [1]
    assert made[0][0].startswith("easnn-benchmark-")
    assert list(tmp_path.iterdir()) == []


def test_a_further_implementation_is_a_further_row(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = Implementation("compiled", lambda model: nn.Sequential(model))
    monkeypatch.setattr(
        "easnn.benchmark.sections.network.IMPLEMENTATIONS", (*IMPLEMENTATIONS[:1], compiled)
    )
    settings = Settings(**{**vars(TINY), "precisions": ("exact",)})
    [(_, rows)] = rows_of(run_section(SECTIONS["forward"], settings, None))
    assert rows == ["published, exact", "compiled, exact"]


def test_another_embedding_has_no_sampler_to_compare() -> None:
    settings = Settings(**{**vars(TINY), "words": (*TINY.words, "embedding", "count")})
    with pytest.raises(ConfigError) as error:
        run_section(SECTIONS["sampler"], settings, None)
    assert str(error.value) == (
        "The section `sampler` compares adaptive samplers, so `embedding` must be arsnn, but is "
        "count."
    )


def test_every_layer_of_the_measured_network_fires() -> None:
    experiment = TINY.experiment("e-yolox-s", (64, 64), "full_spike_v2")
    events = network_events(experiment, 2)
    assert events.shape == (2, 1, 4, 2, 64, 64)
    model = network_of(experiment, events)
    neurons = measure_energy(model, [events[:1]]).neurons
    layers = [layer for layer in model.modules() if isinstance(layer, ParametricLIF)]
    assert len(neurons) == len(layers) + 1
    assert min(layer.rate for layer in neurons[1:]) > 0.02


def test_work_counted_by_hand() -> None:
    experiment = TINY.experiment("e-yolox-s", (32, 64), "True", "embedding_ksize", "1")
    events = network_events(experiment, 2)
    model = network_of(experiment, events)
    sampler = sampler_work(model, events)
    # Two 1×1 convolutions from 2 to 4 channels. The input is read at 4 sampling steps and the
    # spikes at 4, the first ones of which are zeros.
    assert sampler.operations == 2 * (4 + 4) * 2 * 4 * 32 * 64
    assert sampler.values == (4 * 2 + 2) * 32 * 64  # 4 slices in, 1 segment out, of 2 channels
    whole = detector_work(model, events)
    assert whole.operations > sampler.operations
    stem = model.backbone.stem.conv
    stem_values = 8 * 16 * 32 + 4 * 16 * 32 + sum(p.numel() for p in stem.parameters())
    assert whole.values > sampler.values + stem_values
    assert whole.times(3).operations == 3 * whole.operations


def test_inputs_lie_inside() -> None:
    experiment = TINY.experiment("e-yolox-s", (32, 64), "True")
    targets = network_targets(experiment, 2, boxes=7)
    assert targets.shape == (2, 50, 5)
    boxes = targets[:, :7]
    assert (boxes[..., 3:] > 0).all()
    assert (targets[:, 7:] == 0).all()
    assert (boxes[..., 1] < 64).all()
    assert (boxes[..., 2] < 32).all()
    outputs = head_outputs(10, 3, (32, 64), batch=2)
    assert outputs.shape == (2, 10, 8)
    assert ((outputs[..., 4:] >= 0) & (outputs[..., 4:] <= 1)).all()


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
