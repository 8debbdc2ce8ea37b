"""Reading of whole recordings: decoding, order of times, and coordinates."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path

from easnn.benchmark.raw_files import camera_bursts, write_camera_files
from easnn.benchmark.sections.section import Case, Cases, Section
from easnn.benchmark.settings import Settings
from easnn.benchmark.timing import Variant
from easnn.events import open_recording
from easnn.events.native_calls import library, numpy_only
from easnn.utils.files import temporary_folder

BURSTS, QUICK_BURSTS = 1_000_000, 200_000


def decode_cases(settings: Settings) -> Cases:
    """Yield opening and reading of the same events in every format."""
    with temporary_folder("easnn-benchmark-") as folder:
        bursts = camera_bursts(QUICK_BURSTS if settings.quick else BURSTS)
        paths = write_camera_files(folder, bursts)
        count = len(bursts.events())
        del bursts
        native = library() is not None
        for name, path in paths.items():
            yield Case(
                {"format": name, "events": f"{count:,}"},
                [
                    Variant("NumPy", partial(read, path, native=False), count),
                    *([Variant("native", partial(read, path, native=True), count)] * native),
                ],
                notes=() if native else ("The native decoders are not available here.",),
            )


def read(path: Path, *, native: bool) -> int:
    """Open a recording, read all of its events, and return their number.

    Args:
        path: the recording.
        native: whether native functions are used if they are available.
    """
    with nullcontext() if native else numpy_only():
        return len(open_recording(path).events())


DECODE = Section("decode", decode_cases, "events")
