"""Walk a dataset without training; `--help` tells how."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from easnn.cli.check_data import main

if __name__ == "__main__":
    sys.exit(main())
