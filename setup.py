# The metadata is in pyproject.toml. This file serves programs that still look for a setup.py.
from setuptools import setup

setup()
