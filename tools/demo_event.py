"""Look at any recording through a checkpoint; see ``--help`` and docs/pictures.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.demo_event import main

if __name__ == "__main__":
    sys.exit(main())
