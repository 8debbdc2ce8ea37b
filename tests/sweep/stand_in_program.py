"""A stand-in for training and evaluation: it takes the same command lines, and milliseconds.

``python stand_in_program.py train|eval OPTIONS key value …`` does what the key ``T`` (3 if it is
not given) says: with 5 the training fails, with 6 it waits for SIGTERM and then saves a checkpoint,
with 7 it ignores SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

OPTIONS_WITH_A_VALUE = ("-n", "-f", "-b", "-c", "--samples")


def pairs_of(words: list[str]) -> dict[str, str]:
    pairs: list[str] = []
    while words:
        taken = 1 if words[0] in ("--fp16", "--resume", "--strata") else 2
        if taken == 2 and words[0] not in OPTIONS_WITH_A_VALUE:
            pairs += words[:2]
        words = words[taken:]
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def train(folder: Path, keys: dict[str, str]) -> None:
    if keys["T"] == "5":
        print("error: the loss is not finite\n")
        raise SystemExit(1)
    if keys["T"] in "67" and "--resume" not in sys.argv:
        signal.signal(signal.SIGTERM, lambda *_: stop(folder) if keys["T"] == "6" else None)
        (folder / "waits").write_text(str(os.getpid()))
        time.sleep(60)
    for name in ("latest_ckpt.pth", "best_ckpt.pth"):
        (folder / name).touch()


def stop(folder: Path) -> None:
    (folder / "latest_ckpt.pth").touch()
    raise SystemExit(143)


def evaluate(folder: Path, keys: dict[str, str]) -> None:
    name = Path(sys.argv[sys.argv.index("-c") + 1]).stem
    ap = 0.1 * int(keys["seed"]) * int(keys["T"])
    result = folder / "results" / f"{name}_{keys['eval_split']}_coco.json"
    scores = {"ap": ap, "ap50": 2 * ap}
    if "--strata" in sys.argv:
        entries = [
            ("speed (px/s)", "0", ap / 2),
            ("speed (px/s)", "> 0", ap),
            ("size", "small", None),
        ]
        scores["strata"] = [{"quantity": q, "name": n, "ap": value} for q, n, value in entries]
    result.write_text(json.dumps(scores))


def report(folder: Path, keys: dict[str, str]) -> None:
    name = Path(sys.argv[sys.argv.index("-c") + 1]).stem
    path = folder / "results" / f"{name}_{keys['eval_split']}_energy.json"
    path.write_text(json.dumps({"total": {"energy_pj": 1e9 * int(keys["T"])}}))


def main() -> None:
    keys = {"T": "3", **pairs_of(sys.argv[2:])}
    output = Path(keys["output_dir"])
    with (output / "calls.jsonl").open("a") as file:
        call = {"words": sys.argv[1:], "threads": os.environ.get("OMP_NUM_THREADS")}
        file.write(json.dumps(call) + "\n")
    folder = output / keys["exp_name"]
    (folder / "results").mkdir(parents=True, exist_ok=True)
    (folder / "owner.json").write_text('{"mark": "run directory of easnn"}')
    {"train": train, "eval": evaluate, "energy": report}[sys.argv[1]](folder, keys)


if __name__ == "__main__":
    main()
