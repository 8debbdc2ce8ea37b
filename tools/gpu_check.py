"""Check a machine with a GPU, as `easnn gpu-check` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("gpu-check"))
