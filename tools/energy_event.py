"""Count operations, firing and energy of a checkpoint; `--help` tells how."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.energy import main

if __name__ == "__main__":
    sys.exit(main())
