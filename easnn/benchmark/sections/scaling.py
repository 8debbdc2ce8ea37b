"""What a sample costs as one setting grows: T, Tm, batch, size, and the number of recordings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from easnn.benchmark.inputs import write_recordings
from easnn.benchmark.sections.network import forward_case
from easnn.benchmark.sections.section import Case, Cases, Section
from easnn.benchmark.settings import Settings, Size, size_text
from easnn.benchmark.timing import Variant
from easnn.exp import EventExp
from easnn.utils.files import temporary_folder

VALUES: dict[str, Sequence[int]] = {
    "T": (1, 2, 4, 8),
    "Tm": (2, 4, 8),
    "batch": (1, 2, 4, 8),
    "size": (1, 2, 3),  # multiples of the first of --size
    "recordings": (10, 100, 1000),
}
NOTE = (
    "`recordings`: opening of a dataset, per recording; only labels of large datasets are cached."
)
QUICK_VALUES = 2
"""Values of a setting in a quick run."""


def scaling_cases(settings: Settings) -> Cases:
    """Yield inference in the first precision, and the start of a dataset."""
    model, hw, spike = settings.models[0], settings.sizes[0], settings.spikes[0]
    for name, values in VALUES.items():
        for value in values[:QUICK_VALUES] if settings.quick else values:
            labels = {"varied": name, "value": str(value)}
            if name == "recordings":
                yield from _start_case(settings, labels, value)
                continue
            size: Size = (hw[0] * value, hw[1] * value) if name == "size" else hw
            changes = (name, str(value)) if name in ("T", "Tm") else ()
            experiment = settings.experiment(model, size, spike, *changes)
            if name == "size":
                labels["value"] = size_text(size)
            one = replace(
                settings,
                batch=value if name == "batch" else settings.batch,
                precisions=settings.precisions[:1],
                runtimes=("torch",),
            )
            yield forward_case(experiment, labels, one, with_work=False)


def _start_case(settings: Settings, labels: dict[str, str], recordings: int) -> Iterator[Case]:
    """Yield the opening of a dataset, whose samples are its recordings."""
    with temporary_folder("easnn-benchmark-") as folder:
        repeat_recording(folder, recordings)
        cache = str(folder / "cache")
        places = ("data_dir", str(folder), "cache_dir", cache)
        experiment = settings.experiment(
            settings.models[0], settings.sizes[0], settings.spikes[0], *places
        )
        yield Case(
            labels,
            [
                Variant(
                    "easnn, labels read", partial(_open_anew, experiment, Path(cache)), recordings
                ),
                Variant(
                    "easnn, labels cached", partial(experiment.get_dataset, ["train"]), recordings
                ),
            ],
            notes=(NOTE,),
        )


def repeat_recording(folder: Path, count: int) -> None:
    """Write a short recording and link it until there are ``count``."""
    events = write_recordings(folder, recordings=1, seconds=0.1)
    boxes = events.with_name(events.name.replace("_td.dat", "_bbox.npy"))
    for number in range(1, count):
        for source in (events, boxes):
            source.with_name(source.name.replace("00000", f"{number:05d}")).symlink_to(source)


def _open_anew(experiment: EventExp, cache: Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    experiment.get_dataset(["train"])


SCALING = Section("scaling", scaling_cases)
