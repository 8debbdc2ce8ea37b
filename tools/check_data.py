"""Read a dataset and report every problem, as `easnn check-data` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("check-data"))
