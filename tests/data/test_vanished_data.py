"""A dataset that vanishes while it is read: an error that says so."""

from __future__ import annotations

import re

import pytest
from test_loader import failure_of, train_loader


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_dataset_that_vanishes_in_mid_epoch(small_dataset, tmp_path, num_workers):
    """The error names the first recording that was needed and is not there."""
    loader = train_loader(small_dataset, batch_size=1, num_workers=num_workers)
    seen = []

    def batches():
        for batch in loader:
            seen.append(batch.indices)
            if (tmp_path / "train").exists():
                (tmp_path / "train").rename(tmp_path / "elsewhere")
            yield batch

    missing = rf"Cannot read {tmp_path}/train/r\d_td\.dat: No such file or directory\."
    assert re.fullmatch(missing, failure_of(batches()))
    assert 0 < len(seen) < len(loader)
    assert re.fullmatch(missing, failure_of(loader))
