"""The peak memory of training steps, each measured in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from easnn.benchmark.settings import Settings, Size
from easnn.utils.errors import ConfigError, EasnnError, TrainingError
from easnn.utils.options import PrecisionName

STATUS = Path("/proc/self/status")
PROGRAM = "import sys; from easnn.benchmark.peak_memory import main; sys.exit(main())"
STEPS = 2  # the optimizer has its state from the second one on


@dataclass(frozen=True)
class StepRequest:
    """The training step to measure.

    Attributes:
        model: name of the experiment.
        hw: height and width of the network's input.
        spike: value of ``use_spike``.
        words: further keys and values.
        batch: samples per step.
        threads: threads of torch.
        implementation: name of the implementation.
        precision: of the network.
    """

    model: str
    hw: Size
    spike: str
    words: tuple[str, ...]
    batch: int
    threads: int
    implementation: str
    precision: PrecisionName

    def to_json(self) -> str:
        """Return the request as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> StepRequest:
        """Read a request from text."""
        values: dict[str, Any] = json.loads(text)
        height, width = values.pop("hw")
        return cls(**{**values, "hw": (height, width), "words": tuple(values["words"])})


def peak_bytes(request: StepRequest) -> float:
    """Run training steps in a new process and return by how much its memory grew at most.

    What the process needs before it builds the network, such as imported libraries, is not
    counted.

    Raises:
        ConfigError: on a system without ``/proc``.
        TrainingError: if the process fails.
    """
    if not STATUS.exists():
        raise ConfigError(f"The section `memory` needs {STATUS}, which only Linux has.")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, request.to_json()],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise TrainingError(
            f"The process that measures the memory of a training step ended with code "
            f"{done.returncode} (killed for lack of memory if it is -9): "
            f"{done.stderr.strip()[-2000:] or 'no message'}"
        )
    return float(done.stdout.split()[-1])


def measure(request: StepRequest) -> int:
    """Run the steps in this process and return the growth of its memory in bytes."""
    import torch

    from easnn.benchmark.implementations import IMPLEMENTATIONS, cpu_precision
    from easnn.benchmark.inputs import network_events, network_targets

    torch.set_num_threads(request.threads)
    [chosen] = [each for each in IMPLEMENTATIONS if each.name == request.implementation]
    assert chosen.train is not None
    settings = Settings(words=request.words)
    experiment = settings.experiment(request.model, request.hw, request.spike)
    before = _status_bytes("VmRSS")
    events = network_events(experiment, request.batch)
    targets = network_targets(experiment, request.batch)
    precision = cpu_precision(request.precision)
    step = chosen.train(experiment.get_model(), experiment, request.batch, precision)
    for _ in range(STEPS):
        step(events, targets)
    return _status_bytes("VmHWM") - before


def _status_bytes(name: str) -> int:
    """Return a number of the kernel's report on this process.

    ``ru_maxrss`` would not do: a new process inherits the peak of the one that starts it.
    """
    lines = STATUS.read_text("utf-8").splitlines()
    [number] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(number)


def main() -> int:
    """Measure the request of the command line and print the bytes."""
    from easnn.utils.allocator import reuse_freed_memory

    reuse_freed_memory()  # as the commands of easnn do
    try:
        print(measure(StepRequest.from_json(sys.argv[1])))
    except EasnnError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
