"""Simulate, train, evaluate and draw on a small dataset, as `easnn quickstart` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("quickstart"))
