"""The optimizer with its parameter groups, and learning-rate schedules."""

from easnn.optim.optimizer import OptimizerName, build_optimizer, set_learning_rate
from easnn.optim.schedules import Schedule, ScheduleName, build_schedule

__all__ = [
    "OptimizerName",
    "Schedule",
    "ScheduleName",
    "build_optimizer",
    "build_schedule",
    "set_learning_rate",
]
