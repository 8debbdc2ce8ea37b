"""Measure what the memory of a checkpoint does, as `easnn audit-state` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("audit-state"))
