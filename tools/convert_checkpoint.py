"""Convert a checkpoint to or from the published format, as `easnn convert-checkpoint` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("convert-checkpoint"))
