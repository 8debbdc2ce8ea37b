"""The energy report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from easnn.analysis.energy.costs import Cost, EnergyReport, share
from easnn.analysis.energy.operations import LayerOperations


def energy_tables(report: EnergyReport) -> str:
    """Return the tables of convolutions, neurons, parts of the detector, and compared totals."""
    tables = (_layers(report), _neurons(report), _parts(report), _totals(report))
    updates = f"{_millions(report.updates)} M updates of membranes, " if report.updates else ""
    rest = f"Not in the sum: {updates}biases, norms, readouts."
    return "\n\n".join((*(table for table in tables if table), rest))


def _layers(report: EnergyReport) -> str:
    total_pj = report.total.energy_pj
    rows = [
        (
            layer.name,
            layer.shape,
            _input(layer),
            f"{layer.runs:g}",
            f"{layer.input_nonzero:.1%}",
            "" if layer.input_rate is None else f"{layer.input_rate:.4f}",
            _millions(layer.accumulates),
            _millions(layer.macs),
            _microjoules(layer.energy_pj),
            f"{share(layer.energy_pj, total_pj):.1%}",
        )
        for layer in report.layers
    ]
    headers = (
        "convolution",
        "shape",
        "input",
        "runs",
        "not 0",
        "rate",
        "M AC",
        "M MAC",
        "µJ",
        "share",
    )
    return _table(rows, headers, texts=3)


def _neurons(report: EnergyReport) -> str:
    if not report.neurons:
        return ""
    rows = [
        (
            layer.name,
            layer.neurons,
            f"{layer.rate:.4f}",
            " ".join(f"{rate:.3f}" for rate in layer.rates),
            f"{share(layer.dead, layer.neurons):.1%}",
            f"{layer.dead_channels} of {layer.channels}",
            f"{share(layer.saturated, layer.neurons):.1%}",
        )
        for layer in report.neurons
    ]
    number, channels, dead, dead_channels, saturated = (
        sum(getattr(layer, count) for layer in report.neurons)
        for count in ("neurons", "channels", "dead", "dead_channels", "saturated")
    )
    shares = (
        f"{share(dead, number):.1%}",
        f"{dead_channels} of {channels}",
        f"{share(saturated, number):.1%}",
    )
    headers = (
        "neurons",
        "number",
        "rate",
        "rate in each step",
        "dead",
        "dead channels",
        "saturated",
    )
    return _table([*rows, ("all", number, f"{report.rate:.4f}", "", *shares)], headers, texts=1)


def _parts(report: EnergyReport) -> str:
    total_pj = report.total.energy_pj
    rows = [
        (*_operations(cost), f"{share(cost.energy_pj, total_pj):.1%}")
        for cost in (*report.parts, report.total)
    ]
    return _table(rows, ("part", "M AC", "M MAC", "µJ", "share"), texts=1)


def _totals(report: EnergyReport) -> str:
    plain_pj = report.plain.energy_pj
    rows = [
        (*_operations(cost), f"{share(cost.energy_pj, plain_pj):.3f}")
        for cost in (report.total, *report.variants, report.plain)
    ]
    headers = (f"for a frame, mean of {report.frames}", "M AC", "M MAC", "µJ", "of not spiking")
    return _table(rows, headers, texts=1)


def _operations(cost: Cost) -> tuple[str, str, str, str]:
    return (
        cost.name,
        _millions(cost.accumulates),
        _millions(cost.macs),
        _microjoules(cost.energy_pj),
    )


def _input(layer: LayerOperations) -> str:
    if not layer.spikes:
        return "analog"
    return "spikes" if layer.input_most <= 1 else f"spikes, sums to {layer.input_most:g}"


def _millions(operations: float) -> str:
    return f"{operations / 1e6:.3f}" if operations else ""


def _microjoules(pj: float) -> str:
    return f"{pj / 1e6:.3f}"


def _table(rows: Sequence[tuple[object, ...]], headers: tuple[str, ...], *, texts: int) -> str:
    """Return a table whose first ``texts`` columns are text and whose other columns are numbers."""
    align = ("left",) * texts + ("right",) * (len(headers) - texts)
    return tabulate(rows, headers=headers, colalign=align, disable_numparse=True)
