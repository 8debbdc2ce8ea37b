"""The parts of a network with several implementations of one signature.

Plain implementations use torch's operations; they are the reference of the tests. Native ones are
for CPUs. On a GPU, and for torch.compile, spikingjelly's are used.
"""

from easnn.kernels.amx import amx_spiking_unit
from easnn.kernels.batch_norm import Statistics, batch_moments
from easnn.kernels.choice import (
    Kernels,
    computes_natively,
    default_kernels,
    has_hooks,
    use_kernels,
)
from easnn.kernels.membrane import (
    BranchWeights,
    Firing,
    native_gated_membrane,
    native_leaky_membrane,
)
from easnn.kernels.norm_plif import SURROGATES, native_norm_ilif, native_norm_plif
from easnn.kernels.norm_silu import native_norm_silu
from easnn.kernels.plif import (
    THRESHOLD,
    plain_ilif,
    plain_plif,
    spikingjelly_ilif,
    spikingjelly_plif,
)
from easnn.kernels.segments import SegmentRules, native_segments
from easnn.kernels.spike_conv import (
    is_one_pass_convolution,
    is_spike_convolution,
    native_spike_conv,
)
from easnn.kernels.winograd import is_winograd_convolution, native_winograd_conv

__all__ = [
    "SURROGATES",
    "THRESHOLD",
    "BranchWeights",
    "Firing",
    "Kernels",
    "SegmentRules",
    "Statistics",
    "amx_spiking_unit",
    "batch_moments",
    "computes_natively",
    "default_kernels",
    "has_hooks",
    "is_one_pass_convolution",
    "is_spike_convolution",
    "is_winograd_convolution",
    "native_gated_membrane",
    "native_leaky_membrane",
    "native_norm_ilif",
    "native_norm_plif",
    "native_norm_silu",
    "native_segments",
    "native_spike_conv",
    "native_winograd_conv",
    "plain_ilif",
    "plain_plif",
    "spikingjelly_ilif",
    "spikingjelly_plif",
    "use_kernels",
]
