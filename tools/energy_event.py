"""Count operations, firing and energy of a checkpoint, as `easnn energy` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("energy"))
