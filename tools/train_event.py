"""Train a detector, as `easnn train` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("train"))
