"""The command line: argument parsers and ``main`` functions."""

import os

from easnn.utils.allocator import reuse_freed_memory
from easnn.utils.console import show_everywhere

# OpenMP threads wait for each other in a busy loop, and then sleep. With the default duration, a
# training step can take 20 times as long on a machine whose cores are all in use; with less than
# this (0.1 ms), waking the threads takes a tenth of the step of a small network. The variable is
# read when torch is loaded, so it is set here, before a command runs. Subprocesses inherit it.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

reuse_freed_memory()

# Here, so that the processes that a command starts do it, too: they import the program again.
show_everywhere()
