"""What a frame costs: synaptic operations, firing, and the energy of both (docs/energy.md)."""

from easnn.analysis.energy.costs import Cost, EnergyReport, measure_energy
from easnn.analysis.energy.firing import NeuronActivity
from easnn.analysis.energy.operations import AC_PJ, MAC_PJ, LayerOperations
from easnn.analysis.energy.provenance import spike_driven
from easnn.analysis.energy.recorder import OperationRecorder
from easnn.analysis.energy.synapses import (
    accumulates,
    describe_conv,
    fan_out,
    multiply_accumulates,
    padded_macs,
    unpacked,
)
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
