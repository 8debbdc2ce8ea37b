"""Convert a recording to DAT or HDF5, as `easnn convert-events` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("convert-events"))
