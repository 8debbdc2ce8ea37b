"""The native libraries: their sources, compiler options and names. ``setup.py`` builds them.

It needs nothing but the standard library, since it also runs where only setuptools is installed.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "src"

COMPILER = "GCC 11 or newer"
"""What the kernels need; any compiler of C++17 builds the decoders.

Older ones do not know the processors, and what Clang compiles needs another OpenMP library than
the one of torch.
"""


@dataclass(frozen=True)
class NativeLibrary:
    """A shared library with a C interface, independent of the versions of Python and torch.

    Attributes:
        name: of the file, without its suffix.
        sources: files in :data:`FOLDER`.
        options: options of the compiler.
    """

    name: str
    sources: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of the file, in the folder of this module."""
        return f"{self.name}.so"

    def digest(self) -> int:
        """Return 64 bits of the hash of options and all sources; the built library contains it."""
        contents = hashlib.sha256(repr((self.sources, self.options)).encode())
        for path in sorted([*FOLDER.glob("[!.]*.h"), *FOLDER.glob("[!.]*.cpp")]):
            contents.update(path.name.encode() + b"\0" + path.read_bytes())
        return int.from_bytes(contents.digest()[:8], "little")


# Without contraction, an expression is rounded in the same way for every processor and compiler.
# Fused multiply-adds are written out where they are wanted. Results do not depend on the options
# below: errno and trapping only keep loops from being vectorised.
COMMON = (
    "-std=c++17",
    "-O3",
    "-g0",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
)

DECODERS = NativeLibrary("decoders", ("sources.cpp", "decoders.cpp"), COMMON)

_KERNELS = (
    "sources.cpp",
    "norm_plif.cpp",
    "norm_silu.cpp",
    "spike_conv.cpp",
    "amx.cpp",
    "winograd.cpp",
    "membrane.cpp",
    "segments.cpp",
)
KERNELS = {
    "AVX2": NativeLibrary("kernels_avx2", _KERNELS, (*COMMON, "-fopenmp", "-march=x86-64-v3")),
    "AVX512": NativeLibrary(
        "kernels_avx512",
        _KERNELS,
        (
            *(*COMMON, "-fopenmp", "-march=x86-64-v4", "-mprefer-vector-width=512"),
            *("-mamx-tile", "-mamx-bf16"),  # compilers use them in amx.cpp only, where written out
        ),
    ),
}
"""The kernels by what the processor can do, as ``torch.backends.cpu.get_cpu_capability`` names it.

They are not linked to an OpenMP library: they share the threads of the one that torch has loaded.
"""


def libraries() -> list[NativeLibrary]:
    """Return the libraries that can be built for this machine."""
    if sys.platform != "linux":
        return []
    return [DECODERS, *(KERNELS.values() if platform.machine() == "x86_64" else ())]
