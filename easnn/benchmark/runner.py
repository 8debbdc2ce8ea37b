"""Runs sections of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import torch
from tqdm import tqdm

from easnn.benchmark.machine import Ceilings
from easnn.benchmark.results import CaseResult, Reached, SectionResult, VariantResult
from easnn.benchmark.sections import SECTIONS, Case, Section
from easnn.benchmark.settings import Settings
from easnn.benchmark.timing import Spread, Variant, measure_in_turn, ratios, time_in_turn
from easnn.benchmark.work import Work
from easnn.exp import EventExp
from easnn.utils.errors import ConfigError, did_you_mean
from easnn.utils.logging import on_terminal

MEMORY_ROUNDS = 1
"""Rounds of a section about memory, which varies by a few per cent."""


def chosen_sections(names: Sequence[str]) -> list[Section]:
    """Return the sections of some names, each once; without names, those that run by default.

    Raises:
        ConfigError: if a name is unknown.
    """
    for name in names:
        if name not in SECTIONS:
            known = (*SECTIONS, *EventExp.declarations())
            raise ConfigError(
                f"`{name}` is neither a section nor a key.{did_you_mean(name, known)} The sections "
                f"are {', '.join(SECTIONS)}; `--help-keys` lists the keys."
            )
    if names:
        return [SECTIONS[name] for name in dict.fromkeys(names)]
    return [section for section in SECTIONS.values() if section.by_default]


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch use this number of threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_section(section: Section, settings: Settings, ceilings: Ceilings | None) -> SectionResult:
    """Measure all cases of a section, one after the other.

    Args:
        section: the section.
        settings: what to measure.
        ceilings: the machine's, for the share that is reached; None: it is left out.

    Raises:
        ConfigError: if the section cannot be measured with these settings or on this system.
    """
    results = []
    with (
        tqdm(desc=section.name, unit="run", leave=False, disable=not on_terminal()) as progress,
        closing(section.cases(settings)) as cases,
    ):
        for case in cases:
            progress.set_postfix_str(" ".join(case.labels.values()))
            try:
                results.append(_run_case(case, section, settings, ceilings, progress))
            finally:
                case.close()
    return SectionResult(section, tuple(results))


def _run_case(
    case: Case,
    section: Section,
    settings: Settings,
    ceilings: Ceilings | None,
    progress: tqdm[None],
) -> CaseResult:
    if section.quantity == "memory":
        values = measure_in_turn(case.variants, MEMORY_ROUNDS, after_run=progress.update)
    else:
        values = time_in_turn(case.variants, settings.rounds, after_run=progress.update)
    rows = [
        VariantResult(
            variant.name,
            tuple(own),
            ratio,
            None
            if case.work is None or ceilings is None
            else reached(case.work, variant, Spread.of(own).median, ceilings),
        )
        for variant, own, ratio in zip(case.variants, values, ratios(values), strict=True)
    ]
    return CaseResult(case.labels, tuple(rows), case.notes)


def reached(work: Work, variant: Variant, seconds: float, ceilings: Ceilings) -> Reached:
    """Return the share of the ceilings that a variant reaches in ``seconds`` per sample."""
    bytes_needed = variant.value_bytes * work.values
    return Reached(
        operations=work.operations,
        bytes=bytes_needed,
        of_convolution=work.operations / seconds / ceilings.flops(variant.precision),
        of_copy=bytes_needed / seconds / ceilings.copy_bytes_per_s,
    )
