"""The check of a machine with a GPU: is everything right there, and how fast is it?"""

from easnn.gpu_check.outcome import Outcome, Setting
from easnn.gpu_check.run import CHECKS, machine, run_checks, table

__all__ = ["CHECKS", "Outcome", "Setting", "machine", "run_checks", "table"]
