"""Kill trainings at random moments, resume and compare them, as `easnn soak` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("soak"))
