"""Run all steps on a small dataset, in minutes on a CPU: ``easnn quickstart``."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

DATASET = "datasets/synthetic"
RUN = "YOLOX_outputs/e_yolox_demo"
CLIP_OF = f"{DATASET}/test/test_0000_td.dat"

DESCRIPTION = """\
Simulates a small event dataset, trains the spiking detector on it, evaluates it on unseen
recordings before and after training, and draws pictures. Each step is a command that you can run
yourself; it is printed before it runs. Data and results are written to datasets/synthetic and
YOLOX_outputs/e_yolox_demo in the working directory.
"""


@dataclass(frozen=True)
class Step:
    """A step of the quickstart.

    Attributes:
        title: what it does.
        command: the command line after ``easnn``.
    """

    title: str
    command: tuple[str, ...]


STEPS = (
    Step(
        "Simulate recordings of cars and pedestrians",
        (
            *("make-synthetic", DATASET, "--sensor-size", "120x152"),
            *("--duration-s", "2.5", "--train", "140", "--val", "12", "--test", "20"),
        ),
    ),
    Step("Train the spiking detector", ("train", "-n", "e-yolox-demo", "-b", "8")),
    Step(
        "Evaluate the untrained network on the test split",
        ("eval", "-c", f"{RUN}/initial_ckpt.pth", "--test"),
    ),
    Step(
        "Evaluate the trained network on the test split",
        ("eval", "-c", f"{RUN}/best_ckpt.pth", "--test"),
    ),
    Step(
        "Watch a test recording",
        ("demo", "-c", f"{RUN}/best_ckpt.pth", CLIP_OF),
    ),
)

RESULTS = {
    "before training": f"{RUN}/results/initial_ckpt_test_coco.json",
    "after training": f"{RUN}/results/best_ckpt_test_coco.json",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run every step and print the results; return the exit code of the first failed step, or 0."""
    argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)
    begin = time.monotonic()
    seconds: dict[str, float] = {}
    for number, step in enumerate(STEPS, start=1):
        print(
            f"\n[{number}/{len(STEPS)}] {step.title}\n$ easnn {shlex.join(step.command)}",
            flush=True,
        )
        step_begin = time.monotonic()
        code = run(step)
        if code:
            return code
        seconds[step.title] = time.monotonic() - step_begin
    seconds["Total"] = time.monotonic() - begin
    print("\n" + summary(seconds))
    return 0


def run(step: Step) -> int:
    """Run a step and return its exit code; after Ctrl-C, wait for it to save its work."""
    process = subprocess.Popen([sys.executable, "-m", "easnn", *step.command])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the step received it as well
            continue


def summary(seconds: dict[str, float]) -> str:
    """Return the tables of results and durations.

    Args:
        seconds: duration of each step.
    """
    results = {name: json.loads(Path(path).read_text("utf-8")) for name, path in RESULTS.items()}
    measures = [
        (name, f"{result['ap50'] or 0:.3f}", f"{result['ap'] or 0:.3f}")
        for name, result in results.items()
    ]
    frames = next(iter(results.values()))["counts"]["frames"]
    return "\n\n".join(
        (
            tabulate(
                measures,
                headers=[f"test split, {frames} frames", "AP50", "AP 50:95"],
                disable_numparse=True,
            ),
            tabulate(
                [(title, f"{duration:.0f} s") for title, duration in seconds.items()],
                tablefmt="plain",
            ),
            f"Curves, samples and a clip: {RUN}/pictures",
        )
    )
