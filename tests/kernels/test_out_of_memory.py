"""Native functions that cannot allocate memory raise an error; the process goes on."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from easnn.kernels.choice import has_matrix_unit, loaded_library, native_library
from easnn.kernels.membrane import _Arguments as MembraneArguments
from easnn.kernels.segments import _Arguments as SegmentArguments
from easnn.native import call

pytestmark = [
    pytest.mark.skipif(native_library() is None, reason="no native kernels here"),
    pytest.mark.skipif(
        "libasan" in os.environ.get("LD_PRELOAD", ""),
        reason="the address sanitizer ends a process that cannot allocate",
    ),
]

NULL = ctypes.c_void_p(None)
FLOAT32 = ctypes.c_int(0)
HUGE = 2**50
"""More bytes than an address can have on x86-64, so that the system refuses them at once."""


def ints(*values: int) -> tuple[ctypes.c_int64, ...]:
    return tuple(map(ctypes.c_int64, values))


def convolution(*, images: int) -> tuple[ctypes.c_int64, ...]:
    return ints(images, 1, 1, 16, 16, 1, 1, 0, 1, 1)


def membrane(*, channels: int, size: int) -> MembraneArguments:
    sizes = (1, 1, channels, 1, 1, channels, channels, 1, size, 0, 1)
    return MembraneArguments(*sizes, 1.0, 0.0, 0.0, NULL, NULL, NULL)


def segments(*, steps: int) -> SegmentArguments:
    return SegmentArguments(1, steps, 1, 0, 0, 0, 0, 2, 1.0, 0.0)


TWO_THREADS = ctypes.c_int(2)
WEIGHT = (ctypes.c_float * 256)()
REQUESTS = {
    "easnn_moments": (FLOAT32, NULL, *ints(1, HUGE), NULL, NULL, TWO_THREADS),
    "easnn_norm_neurons": (
        *(FLOAT32, NULL, NULL, NULL, NULL, NULL, ctypes.c_int(0), ctypes.c_double(2.0)),
        *(ctypes.c_double(0.5), *ints(1, HUGE), ctypes.c_int(1), ctypes.c_int(1)),
        *(NULL, TWO_THREADS),
    ),
    # The membranes of a block, in a parallel region
    "easnn_norm_neurons_backward": (
        *(FLOAT32, NULL, NULL, NULL, NULL, NULL, NULL, ctypes.c_int(0), ctypes.c_int(0)),
        *(ctypes.c_double(2.0), ctypes.c_double(0.5), *ints(1, 2**20)),
        *(ctypes.c_int(2**31 - 1), ctypes.c_int(1), NULL, NULL, NULL, NULL, TWO_THREADS),
    ),
    "easnn_spike_conv": (
        *(NULL, NULL, NULL, *convolution(images=HUGE)),
        *(ctypes.c_double(1.0), NULL, TWO_THREADS),
    ),
    "easnn_spike_conv_grad_weight": (
        *(NULL, NULL, *convolution(images=HUGE), ctypes.c_double(1.0), NULL, TWO_THREADS),
    ),
    # The pixels of all time steps, in a parallel region
    "easnn_amx_spike_conv": (
        *(FLOAT32, FLOAT32, NULL, ctypes.byref(WEIGHT), NULL, NULL, ctypes.c_int(0)),
        *(ctypes.c_double(0.0), *ints(2**45, 2**45), *convolution(images=1)[1:], NULL),
        TWO_THREADS,
    ),
    "easnn_winograd": (
        *(NULL, NULL, NULL, *ints(1, 1, 1, 2**24, 2**24), ctypes.c_int(0), NULL, TWO_THREADS),
    ),
    "easnn_membrane": (
        FLOAT32,
        ctypes.byref(membrane(channels=2**20, size=257)),
        NULL,
        NULL,
    ),
    "easnn_membrane_backward": (
        *(FLOAT32, ctypes.byref(membrane(channels=2**20, size=257))),
        *(NULL,) * 7,
    ),
    # The states of a block, in a parallel region
    "easnn_segments_backward": (FLOAT32, ctypes.byref(segments(steps=2**45)), NULL, NULL, NULL),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_no_machine_has(name):
    if "amx" in name and not has_matrix_unit():
        pytest.skip("The processor has no matrix unit.")
    with pytest.raises(MemoryError) as raised:
        call(loaded_library(), name, *REQUESTS[name])
    assert str(raised.value) == (f"There is not enough memory for the native function {name}.")


def test_sizes_that_are_no_number_of_bytes():
    """A vector refuses them before it allocates, by another exception."""
    arguments = ctypes.byref(membrane(channels=2**20, size=1025))
    with pytest.raises(MemoryError):
        call(loaded_library(), "easnn_membrane", FLOAT32, arguments, NULL, NULL)


LIMITED = """
import resource
import sys

import torch

from easnn.kernels import BranchWeights, Firing, native_gated_membrane

ROOM = 2**25


def address_space():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def membranes(depth):
    inputs = [1] + [2] * (depth - 1)
    layers = [(torch.zeros(2, channels, 3, 3), torch.ones(2)) for channels in inputs]
    weights = BranchWeights.of(layers)
    weights.values.requires_grad_()
    return native_gated_membrane(torch.zeros(2, 1, 1, 8, 8), weights, weights, Firing(1.0, None))


torch.set_num_threads(2)
membranes(2).sum().backward()  # starts the threads
# In both directions, every thread holds values of 200 layers with halos of up to 200 pixels: more
# than 100 MB.
total = membranes(200).sum() if sys.argv[1] == "backward" else None
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (address_space() + ROOM, limits[1]))
try:
    membranes(200) if total is None else total.backward()
except MemoryError as error:
    print(str(error).split(".")[0])
resource.setrlimit(resource.RLIMIT_AS, limits)
membranes(2).sum().backward()
print("goes on")
"""


@pytest.mark.parametrize(
    ("direction", "name"),
    [("forward", "easnn_membrane"), ("backward", "easnn_membrane_backward")],
)
def test_threads_that_get_no_memory(direction, name):
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, direction],
        capture_output=True,
        text=True,
        check=True,
        # Freed blocks go back to the system: nothing is left for the limited call.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    assert result.stdout == (
        f"There is not enough memory for the native function {name}\ngoes on\n"
    )
