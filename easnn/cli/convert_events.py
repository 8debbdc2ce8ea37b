"""Convert a recording to DAT or HDF5: ``easnn convert-events``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from easnn.cli.arguments import exit_code_of, plain_parser, sensor_size
from easnn.events import (
    Recording,
    event_pieces,
    open_recording,
    write_dat_pieces,
    write_hdf5_pieces,
)
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.files import refuse_existing

WRITERS = {".dat": write_dat_pieces, ".h5": write_hdf5_pieces, ".hdf5": write_hdf5_pieces}
"""Writers by suffix of the output."""

DAT_PERIOD_US = 2**32

DESCRIPTION = """\
Converts a recording in any format (DAT, RAW with EVT2, EVT2.1 or EVT3, HDF5, AEDAT4, N-MNIST .bin,
npz) to DAT or HDF5. The output appears only once it is complete, and no file is ever overwritten.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "input",
        type=Path,
        metavar="INPUT",
        help="recording; its format is detected from its content",
    )
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUTPUT",
        help=f"file to write; the suffix ({', '.join(WRITERS)}) selects the format",
    )
    parser.add_argument(
        "--sensor-size",
        type=sensor_size,
        metavar="HxW",
        help="height and width of the sensor in pixels (default: from INPUT)",
    )
    parser.add_argument(
        "--from-zero",
        action="store_true",
        help="shift the times to begin at 0 (required for DAT if they are Unix times)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    return exit_code_of(lambda: convert(options))


def convert(options: argparse.Namespace) -> None:
    """Convert the recording and print a summary.

    Raises:
        ConfigError: if the suffix of the output is not known.
        DataError: if the recording cannot be read, or the format cannot hold it.
        OutputError: if the output exists or cannot be written.
    """
    output: Path = options.output
    if output.suffix not in WRITERS:
        raise ConfigError(
            f"The name of the output must end in {', '.join(WRITERS)}, but is {output.name!r}."
        )
    refuse_existing(output)
    recording = open_recording(options.input, sensor_hw=options.sensor_size)
    offset_us = recording.first_us if options.from_zero else 0
    if output.suffix == ".dat" and recording.first_us - offset_us >= DAT_PERIOD_US:
        raise DataError(
            f"{recording.path} begins at {recording.first_us} µs, but DAT must begin before 2³² "
            "µs. Add --from-zero, or write HDF5."
        )
    WRITERS[output.suffix](output, _pieces(recording, offset_us), sensor_hw=recording.sensor_hw)
    seconds = (recording.last_us - recording.first_us) / 1e6
    size = "unknown" if recording.sensor_hw is None else "{}x{}".format(*recording.sensor_hw)
    print(f"{output}: {len(recording):,} events, {seconds:.3f} s, sensor {size} (height x width)")


def _pieces(recording: Recording, offset_us: int) -> Iterator[np.ndarray]:
    with tqdm(total=len(recording), unit=" events", unit_scale=True) as bar:
        for events in event_pieces(recording):
            events["t_us"] -= offset_us
            yield events
            bar.update(len(events))
