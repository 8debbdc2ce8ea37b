"""Preprocess raw recordings as RVT does; `--help` tells how."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.preprocess import main

if __name__ == "__main__":
    sys.exit(main())
