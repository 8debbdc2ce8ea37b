from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from easnn import __version__
from easnn.benchmark import SECTIONS, TITLES
from easnn.cli.arguments import parse
from easnn.cli.benchmark import main, make_parser, one_value_each
from easnn.cli.tasks import benchmark
from easnn.cli.tasks.benchmark import settings_of
from easnn.models import SpikeMode
from easnn.utils.device import available_cores
from easnn.utils.options import RUNTIMES, SPIKE_MODES

TINY_WORDS = ["depth", "0.33", "width", "0.0625", "embedding_ksize", "3"]


def settings_from(line: str):
    return settings_of(parse(make_parser(), one_value_each(line.split())))


def test_tables_are_printed_and_numbers_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easnn.benchmark.timing.MIN_SECONDS", 0.0)
    monkeypatch.setattr("easnn.benchmark.machine.COPIED_BYTES", 2**16)
    monkeypatch.setattr("easnn.benchmark.machine.CONVOLUTION", (1, 8, 8, 8))
    path = tmp_path / "new" / "numbers.json"
    words = ["forward", "nms", "--size", "32x64", "--precision", "exact", "--rounds", "2"]
    words += ["--runtime", "torch", "--threads", "1", "--json", str(path), *TINY_WORDS, "T", "2"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "\nInference (forward)\n" in out
    assert "\nNon-maximum suppression (nms)\n" in out
    assert str(path) in err

    report = json.loads(path.read_text())
    assert report["command"] == f"easnn benchmark {' '.join(words)}"
    assert report["machine"]["threads"] == 1
    assert report["machine"]["versions"]["easnn"] == __version__
    assert torch.__version__.startswith(report["machine"]["versions"]["torch"])
    assert report["machine"]["capability"] == torch.backends.cpu.get_cpu_capability()
    assert all(number > 0 for number in report["ceilings"].values())
    settings = report["settings"]
    assert (settings["sizes"], settings["rounds"], settings["batch"]) == ([[32, 64]], 2, 2)
    assert settings["words"] == [*TINY_WORDS, "T", "2"]
    forward, nms = report["sections"]
    assert (forward["section"], nms["section"]) == ("forward", "nms")
    assert forward["unit"] == "seconds per sample"
    [case] = forward["cases"]
    assert case["labels"] == {"model": "e-yolox-s", "size": "32x64", "use_spike": "True"}
    published, _, ours, _ = case["variants"]
    assert [row["name"] for row in case["variants"]] == [
        "published, exact",
        "easnn, plain kernels, exact",
        "easnn, exact",
        "easnn, norms folded, exact",
    ]
    assert published["ratio"] == {"median": 1, "low": 1, "high": 1}
    by_round = [a / b for a, b in zip(published["values"], ours["values"], strict=True)]
    assert ours["ratio"]["low"] == pytest.approx(min(by_round))
    assert ours["ratio"]["high"] == pytest.approx(max(by_round))
    assert ours["median"] == pytest.approx(sum(ours["values"]) / 2)
    assert ours["reached"]["operations"] == published["reached"]["operations"] > 0


def test_defaults_and_the_quick_run() -> None:
    full = settings_from("")
    assert full.sizes == ((256, 320), (640, 640))
    assert (full.models, full.spikes, full.precisions) == (
        ("e-yolox-s",),
        ("True",),
        ("exact", "bf16"),
    )
    assert full.runtimes == RUNTIMES
    quick = settings_from("--quick")
    assert quick.runtimes == ("torch",)
    assert (quick.sizes, quick.rounds, quick.quick) == (((256, 320),), 3, True)
    assert full.threads == available_cores()
    assert settings_from("--threads 1").threads == 1
    assert settings_from("--quick --rounds 7 --size 64x64").rounds == 7


def test_options_of_several_values_end_where_keys_begin() -> None:
    settings = settings_from(
        "--model e-yolox-s e-yolox-nano --size 64x64 32x32 T 2 --spike True full_spike "
        "--precision bf16 exact --runtime onnx compiled --workers 0 3 Tm 2"
    )
    assert settings.models == ("e-yolox-s", "e-yolox-nano")
    assert settings.sizes == ((64, 64), (32, 32))
    assert settings.spikes == ("True", "full_spike")
    assert settings.precisions == ("bf16", "exact")
    assert settings.runtimes == ("onnx", "compiled")
    assert settings.workers == (0, 3)
    assert settings.words == ("T", "2", "Tm", "2")


def test_the_choices_of_spiking_parts_are_those_of_the_network() -> None:
    assert tuple(mode.value for mode in SpikeMode) == SPIKE_MODES


def test_every_section_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [name for name in shown if name in SECTIONS] == list(SECTIONS) == list(TITLES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "forwrad",
            "`forwrad` is neither a section nor a key. Did you mean `forward`? The sections are "
            "decode, load, augment, sampler, forward, step, memory, assignment, nms, evaluation, "
            "latency, scaling; `--help-keys` lists the keys.",
        ),
        (
            "nms --size 640x650",
            "`--size` must be height x width in multiples of 32, like 256x320, but is 640x650.",
        ),
        ("nms --batch 0", "`--batch` must be at least 1, but is 0."),
        ("nms --rounds 0", "`--rounds` must be at least 1, but is 0."),
        ("load --workers 0 --workers -1", "`--workers` must be at least 0, but is -1."),
        ("nms T 0", "`T` must be a whole number ≥ 1 and ≤ 1000, but is '0'."),
        ("nms Treset 3", "`Treset` is neither a section nor a key. Did you mean `reset`?"),
        ("nms T 3 Tt 3", "Unknown key `Tt`."),
        ("nms use_spike True", "`use_spike` cannot be set here. Give it with --spike."),
        ("nms --size 64x64 data_dir x", "`data_dir` cannot be set here. The benchmark makes"),
        ("nms --model e-yolox-x", "Unknown experiment `e-yolox-x`."),
        ("nms Ts 2", "`Ts` must be 1 or `T` (3), but is 2."),
        (
            "--quick nms forward",
            "Sections come before options: `easnn benchmark nms …`, but `nms` is after one.",
        ),
    ],
)
def test_bad_input_is_one_line(
    line: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "run_section", None)  # nothing is measured before all is checked
    assert main(line.split()) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"error: {message}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    "line", ["nms --size 640", "nms --precision fp8", "nms --spike half", "latency --runtime tpu"]
)
def test_a_wrong_option_ends_with_code_2(line: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    assert stop.value.code == 2


def test_a_file_that_cannot_be_written_is_named_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "run_section", None)
    (tmp_path / "file").touch()
    assert main(["nms", "--json", str(tmp_path / "file" / "numbers.json")]) == 1
    assert capsys.readouterr().err.startswith("error: Cannot write to directory ")
