"""The experiments that come with the package: ``-n e-yolox-s`` is the file ``e_yolox_s.py``."""
