"""A program that counts instead of training: its files are those of a training, but it is fast."""

from __future__ import annotations

import json
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from easnn.checkpoints import load_checkpoint, save_checkpoint
from easnn.engine import RunDirectory
from easnn.engine.run_directory import MARK
from easnn.soak.small_run import EPOCHS, SAVED_EVERY, STEPS_PER_EPOCH
from easnn.utils.files import write_json

STEPS = EPOCHS * STEPS_PER_EPOCH


def checkpoint(total: torch.Tensor, done: int) -> dict[str, Any]:
    """Return the contents of a checkpoint."""
    weights = {"total": total}
    return {
        "model": weights,
        "raw_model": weights,
        "optimizer": {"state": {0: {"step": torch.tensor(float(done))}}, "lr": 0.1 + 0.2},
        "scaler": {},
        "ema_updates": done,
        "epoch": 0,
        "step": done,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "rng": [],
        "best_ap": 0.25,
        "best_epoch": 1,
        "experiment": {},
    }


def main(words: Sequence[str]) -> int:
    """Count as ``words`` ask for, and go on if something was saved."""
    return count(words, forgets=False)


def forgetful_main(words: Sequence[str]) -> int:
    """Count, but lose the last bit of the sum whenever it goes on."""
    return count(words, forgets=True)


def count(words: Sequence[str], *, forgets: bool) -> int:
    folder = Path(words[words.index("output_dir") + 1])
    run = RunDirectory(folder / words[words.index("exp_name") + 1])
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _: stopped.append(number))
    total, done = torch.zeros(1), 0
    if run.latest.exists():
        assert "--resume" in words or "--auto-resume" in words
        saved = load_checkpoint(run.latest)
        total, done = saved["raw_model"]["total"], saved["step"]
        if forgets and done:
            total = torch.nextafter(total, torch.zeros(1))
    run.results.mkdir(parents=True, exist_ok=True)
    run.remove_unfinished()
    write_json(run.owner, {"mark": MARK, "token": uuid.uuid4().hex})
    lines = run.metrics.read_text().splitlines(keepends=True) if run.metrics.exists() else []
    run.metrics.write_text("".join(lines[:done]))
    while done < STEPS:
        done += 1
        total = total + 1 / done
        time.sleep(0.01)
        step = (done - 1) % STEPS_PER_EPOCH + 1
        record = {"kind": "train", "iteration": done, "step": step, "time": time.time()}
        with run.metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")
        if stopped or done % SAVED_EVERY == 0:
            save_checkpoint(run.latest, checkpoint(total, done))
        if stopped:
            return 128 + stopped[0]
    save_checkpoint(run.best, checkpoint(total, done))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
