"""Event recordings and their labels: one event type; readers and writers of all file formats."""

from easnn.events.aedat4 import open_aedat4
from easnn.events.bbox_files import parse_boxes, read_boxes, write_boxes
from easnn.events.contours import Contours, read_contours, write_contours
from easnn.events.dat import DatRecording, open_dat, write_dat, write_dat_pieces
from easnn.events.downsample import (
    DownsampledRecording,
    downsample_boxes,
    downsample_recording,
    downsampled_hw,
)
from easnn.events.dtypes import (
    BOX_DTYPE,
    EVENT_DTYPE,
    MOTION_BOX_DTYPE,
    MOTION_DTYPE,
    pack_events,
)
from easnn.events.evt_raw import RawRecording, open_raw
from easnn.events.format_detection import open_recording
from easnn.events.hdf5 import Hdf5Recording, open_hdf5, write_hdf5, write_hdf5_pieces
from easnn.events.loaded_recording import LoadedRecording
from easnn.events.n_mnist import open_n_mnist, write_n_mnist
from easnn.events.npz import open_npz, write_npz
from easnn.events.recording import Recording, StoredRecording, event_pieces
from easnn.events.reversed import ReversedRecording
from easnn.events.sources import (
    ByteSource,
    EventSource,
    IterableSource,
    PipeReader,
    RecordingSource,
    StreamCounts,
    TcpReader,
    UdpReader,
    open_stream,
)
from easnn.events.stream_decode import StreamDecoder
from easnn.events.window import EventWindow, label_window, play_at_speed

__all__ = [
    "BOX_DTYPE",
    "EVENT_DTYPE",
    "MOTION_BOX_DTYPE",
    "MOTION_DTYPE",
    "ByteSource",
    "Contours",
    "DatRecording",
    "DownsampledRecording",
    "EventSource",
    "EventWindow",
    "Hdf5Recording",
    "IterableSource",
    "LoadedRecording",
    "PipeReader",
    "RawRecording",
    "Recording",
    "RecordingSource",
    "ReversedRecording",
    "StoredRecording",
    "StreamCounts",
    "StreamDecoder",
    "TcpReader",
    "UdpReader",
    "downsample_boxes",
    "downsample_recording",
    "downsampled_hw",
    "event_pieces",
    "label_window",
    "open_aedat4",
    "open_dat",
    "open_hdf5",
    "open_n_mnist",
    "open_npz",
    "open_raw",
    "open_recording",
    "open_stream",
    "pack_events",
    "parse_boxes",
    "play_at_speed",
    "read_boxes",
    "read_contours",
    "write_boxes",
    "write_contours",
    "write_dat",
    "write_dat_pieces",
    "write_hdf5",
    "write_hdf5_pieces",
    "write_n_mnist",
    "write_npz",
]
