"""``python -m easnn`` is the command ``easnn``."""

import sys

from easnn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
