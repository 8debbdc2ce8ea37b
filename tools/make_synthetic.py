"""Make a synthetic event dataset; see ``--help`` and docs/simulator.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.make_synthetic import main

if __name__ == "__main__":
    sys.exit(main())
