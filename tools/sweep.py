"""Compare variants of an experiment over several seeds; `--help` tells how."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.sweep import main

if __name__ == "__main__":
    sys.exit(main())
