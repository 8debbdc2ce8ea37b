"""Convert a recording to DAT or HDF5; see ``--help`` and docs/formats.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.convert_events import main

if __name__ == "__main__":
    sys.exit(main())
