"""Convert a checkpoint of the published code to one of ours, or back; see ``--help`` and docs/checkpoints.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.convert_checkpoint import main

if __name__ == "__main__":
    sys.exit(main())
