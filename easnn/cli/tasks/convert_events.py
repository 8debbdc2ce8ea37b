"""Conversion of a recording to DAT or HDF5."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from glob import escape
from pathlib import Path

import numpy as np
from tqdm import tqdm

from easnn.cli.convert_events import SUFFIXES
from easnn.events import (
    Recording,
    event_pieces,
    open_recording,
    write_dat_pieces,
    write_hdf5_pieces,
)
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.files import refuse_existing, remove_unfinished

WRITERS = dict(zip(SUFFIXES, (write_dat_pieces, write_hdf5_pieces, write_hdf5_pieces), strict=True))
"""Writers by suffix of the output."""

DAT_PERIOD_US = 2**32


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
    remove_unfinished(output.parent, escape(output.name))
    recording = open_recording(
        options.input,
        sensor_hw=options.sensor_size,
        stream=options.stream,
        drop_invalid=options.drop_invalid,
    )
    offset_us = recording.first_us if options.from_zero else 0
    if output.suffix == ".dat" and recording.first_us - offset_us >= DAT_PERIOD_US:
        raise DataError(
            f"{recording.path} begins at {recording.first_us} µs, but DAT must begin before 2³² "
            "µs. Add --from-zero, or write HDF5."
        )
    WRITERS[output.suffix](output, _pieces(recording, offset_us), sensor_hw=recording.sensor_hw)
    seconds = (recording.last_us - recording.first_us) / 1e6
    size = "unknown" if recording.sensor_hw is None else "{}x{}".format(*recording.sensor_hw)
    dropped = recording.dropped_events()
    left_out = f"; {dropped:,} events outside of the sensor were dropped" if dropped else ""
    print(
        f"{output}: {len(recording):,} events, {seconds:.3f} s, sensor {size} (height x width)"
        f"{left_out}"
    )


def _pieces(recording: Recording, offset_us: int) -> Iterator[np.ndarray]:
    with tqdm(total=len(recording), unit=" events", unit_scale=True) as bar:
        for events in event_pieces(recording):
            events["t_us"] -= offset_us
            yield events
            bar.update(len(events))
