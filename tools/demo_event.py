"""Draw the detections of a checkpoint in a recording, as `easnn demo` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("demo"))
