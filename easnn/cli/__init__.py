"""The command line: argument parsers and ``main`` functions."""

import os

# OpenMP threads wait for each other in a busy loop, by default for so long that on a machine whose
# cores are all in use a training step was seen to take 20 times as long. The variable is read when
# torch is loaded, so it is set here, where a command begins; the processes that it starts inherit
# it.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
