"""Score detections of any program, as `easnn score` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("score"))
