"""The command line: argument parsers and ``main`` functions."""

import os

from easnn.utils.allocator import reuse_freed_memory

# OpenMP threads wait for each other in a busy loop. With the default duration, a training step can
# take 20 times as long on a machine whose cores are all in use. The variable is read when torch is
# loaded, so it is set here, before a command runs. Subprocesses inherit it.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

reuse_freed_memory()
