"""The command line: argument parsers and ``main`` functions."""
