"""The cost of a frame: synaptic operations, firing rates and energy (docs/energy.md)."""

from easnn.analysis.energy.costs import Cost, EnergyReport, measure_energy
from easnn.analysis.energy.operations import (
    AC_PJ,
    MAC_PJ,
    LayerOperations,
    accumulates,
    describe_conv,
    fan_out,
    multiply_accumulates,
    padded_macs,
    unpacked,
)
from easnn.analysis.energy.provenance import spike_driven
from easnn.analysis.energy.recorder import NeuronActivity, OperationRecorder
from easnn.analysis.energy.tables import energy_tables

__all__ = [
    "AC_PJ",
    "MAC_PJ",
    "Cost",
    "EnergyReport",
    "LayerOperations",
    "NeuronActivity",
    "OperationRecorder",
    "accumulates",
    "describe_conv",
    "energy_tables",
    "fan_out",
    "measure_energy",
    "multiply_accumulates",
    "padded_macs",
    "spike_driven",
    "unpacked",
]
