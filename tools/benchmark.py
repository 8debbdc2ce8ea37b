"""Measure the speed of easnn on this machine, as `easnn benchmark` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("benchmark"))
