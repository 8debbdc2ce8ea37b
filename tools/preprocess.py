"""Preprocess raw recordings as RVT does, as `easnn preprocess` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("preprocess"))
