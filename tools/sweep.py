"""Compare variants of an experiment over several seeds, as `easnn sweep` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("sweep"))
