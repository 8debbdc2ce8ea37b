"""From a command's options and the checkpoint that it names to the experiment."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from easnn.exp import EventExp, ExperimentRecord, get_exp
from easnn.exp.record import NETWORK_KEYS
from easnn.utils.distributed import broadcast_object, is_main
from easnn.utils.errors import ConfigError
