"""The options that commands share, and how they are parsed and run."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from easnn.utils.errors import ConfigError, EasnnError, said_plainly
from easnn.utils.files import expand_home
from easnn.utils.options import CONFIDENCE, RUNTIMES, CacheKind

DEFAULT_BATCH_SIZE = 64

PUBLISHED_PROTOCOL = ("train_splits", "train,val", "eval_split", "test")
"""Train on train and val; select the checkpoint on test and report its result there."""


LOCAL_RANK = ("--local-rank", "--local_rank")
"""The option that torch.distributed.launch puts before all others, as new and old versions do."""


class SetKey(argparse.Action):
    """An option that is a shorthand for ``key value``.

    Args:
        key: the key that is set to the argument; ``None`` for an option without an argument.
        pairs: keys and values that an option without an argument sets.
    """

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        *,
        key: str | None = None,
        pairs: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=None if key else 0, **kwargs)
        self.key = key
        self.pairs = pairs

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Append the key and value to ``namespace.pairs``."""
        namespace.pairs += [self.key, values] if self.key else self.pairs


def plain_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser without options that prints ``description`` as it is."""
    return argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def file_path(text: str) -> Path:
    """Parse a path, in which ``~`` is the home folder; the ``type`` of every option of this kind.

    A shell expands it only where a word begins with it, unlike in ``--json=~/a.json``.
    """
    return Path(expand_home(text))


def check_result_file(path: Path | None, option: str) -> None:
    """Check the path of a file that is written in the end, before all the work.

    Args:
        path: the file; None if there is none.
        option: the option that names it.

    Raises:
        ConfigError: if it could not be written there.
    """
    if path is not None and not path.parent.is_dir():
        raise ConfigError(
            f"`{option}` must name a file in a folder that exists, but {path.parent} does not. "
            "Create it, or choose another folder."
        )
    if path is not None and path.is_dir():
        raise ConfigError(f"`{option}` must name a file, but {path} is a folder.")


def sensor_size(text: str) -> tuple[int, int]:
    """Parse ``HxW`` into height and width; the ``type`` of an option.

    Raises:
        argparse.ArgumentTypeError: if the text is not of this form.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"must be height x width in pixels, like 240x304, but is {text!r}"
        )
    return int(match[1]), int(match[2])


def add_experiment_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that select an experiment, ``-n`` and ``-f``, to a parser or a group."""
    parser.add_argument("-n", "--name", help="name of an experiment, e.g. e-yolox-s")
    parser.add_argument(
        "-f",
        "--exp_file",
        type=file_path,
        metavar="FILE",
        help="experiment file that defines `class Exp`",
    )


def add_recording_options(parser: argparse._ActionsContainer, *, default_size: str) -> None:
    """Add the options that say how to open a recording to a parser or a group.

    Args:
        parser: the parser or group.
        default_size: where the size of the sensor comes from without the option.
    """
    parser.add_argument(
        "--sensor-size",
        type=sensor_size,
        metavar="HxW",
        help=f"height and width of the sensor in pixels (default: {default_size})",
    )
    parser.add_argument(
        "--stream",
        type=int,
        metavar="N",
        help="number of the stream of events to read, for AEDAT4 files with several",
    )
    add_drop_option(parser)


def add_drop_option(parser: argparse._ActionsContainer) -> None:
    """Add the option that drops events outside of the sensor to a parser or a group."""
    parser.add_argument(
        "--drop-invalid",
        action="store_true",
        help="drop single events outside of the sensor (default: they are an error)",
    )


def add_runtime_option(parser: argparse._ActionsContainer) -> None:
    """Add the option that selects what computes the network to a parser or a group."""
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default=RUNTIMES[0],
        help="what computes the network (default: %(default)s)",
    )


def add_detection_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say how a checkpoint detects to a parser or a group."""
    parser.add_argument(
        "--conf",
        type=share,
        default=CONFIDENCE,
        metavar="X",
        help="minimum score (default: %(default)s)",
    )
    parser.add_argument(
        "--nms",
        type=share,
        metavar="X",
        help="IoU threshold of NMS (default: `nmsthre`)",
    )
    parser.add_argument(
        "--fuse", action="store_true", help="fold every batch norm into the convolution before it"
    )
    add_runtime_option(parser)
    parser.add_argument(
        "--fp16", action="store_true", help="mixed precision (default: as in the training)"
    )


def number(text: str, allowed: Callable[[float], bool], expected: str) -> float:
    """Parse a number that satisfies a condition.

    Args:
        text: the argument.
        allowed: the condition.
        expected: the condition in words, after "must be".

    Raises:
        argparse.ArgumentTypeError: if it is no number, or not such a one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"must be {expected}, but is {text!r}")
    return value


def share(text: str) -> float:
    """Parse a number between 0 and 1; the ``type`` of an option."""
    return number(text, lambda x: 0 <= x <= 1, "between 0 and 1")


def build_parser(description: str, *, checkpoint_help: str) -> argparse.ArgumentParser:
    """Return a parser with the options that training and evaluation share.

    Args:
        description: what the command does.
        checkpoint_help: help text of ``-c``.
    """
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    experiment = parser.add_argument_group("experiment")
    add_experiment_options(experiment)
    experiment.add_argument(
        "-expn",
        "--experiment-name",
        action=SetKey,
        key="exp_name",
        metavar="NAME",
        help="name of the run and of its directory in `output_dir`",
    )
    experiment.add_argument(
        "--published_protocol",
        action=SetKey,
        pairs=PUBLISHED_PROTOCOL,
        help=f"the splits of the published results: {' '.join(PUBLISHED_PROTOCOL)}",
    )
    experiment.add_argument("--help-keys", action="store_true", help="print every key and exit")
    experiment.add_argument(
        "--summary", action="store_true", help="print the network's size, layer by layer, and exit"
    )
    run = parser.add_argument_group("run")
    run.add_argument("-c", "--ckpt", type=file_path, metavar="FILE", help=checkpoint_help)
    run.add_argument(
        "-d",
        "--devices",
        type=int,
        metavar="N",
        help="GPUs, or CPU processes if there is no GPU (default: 1)",
    )
    run.add_argument(
        "-b",
        "--batch-size",
        type=int,
        default=DEFAULT_BATCH_SIZE,
        metavar="N",
        help="samples per step (with `accumulate`: per part) over all processes "
        "(default: %(default)s)",
    )
    run.add_argument(
        "--cache",
        nargs="?",
        choices=get_args(CacheKind),
        const="ram",
        help="cache frames: in memory for this run (default), or on disk, up to `cache_gb`, also "
        "for later runs",
    )
    run.add_argument(
        "--fp16",
        action="store_true",
        help="mixed precision: `precision fp16` on GPUs, bf16 on CPUs",
    )
    run.add_argument(
        "--num_machines", type=int, default=1, metavar="N", help="number of machines (default: 1)"
    )
    run.add_argument(
        "--machine_rank", type=int, default=0, metavar="N", help="index of this machine, from 0"
    )
    run.add_argument("--dist-backend", metavar="NAME", help="nccl or gloo (default: by device)")
    run.add_argument("--dist-url", metavar="URL", help="tcp://HOST:PORT of machine 0")
    run.add_argument(
        "--timeout",
        type=float,
        default=1800.0,
        metavar="S",
        help="longest time in seconds that processes wait for one another (default: %(default)g)",
    )
    # Launchers of torch add it; the environment variables that they set say the same.
    run.add_argument(*LOCAL_RANK, type=int, metavar="N", help=argparse.SUPPRESS)
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="key value",
        help="keys to set; options may come before and after them",
    )
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse options and ``key value`` pairs in any order.

    Everything from the first key on goes to ``words``, as REMAINDER does. Where a key is expected
    but an option is found, parsing restarts. Values may thus begin with a dash (``window -200``).

    Returns:
        The options, with all keys and values, including those that options stand for, in ``pairs``,
        and the original command line in ``argv``.
    """
    rest = list(sys.argv[1:] if argv is None else argv)
    options = argparse.Namespace(pairs=[], argv=tuple(rest))
    while True:
        parser.parse_args(_with_cache_kind(rest), options)
        words = options.words
        next_option = next(
            (i for i in range(2, len(words), 2) if words[i].startswith("-")), len(words)
        )
        options.pairs += words[:next_option]
        rest = words[next_option:]
        if not rest:
            return options


INTERRUPTED = 130  # as a shell reports a program that the interrupt key ended


def exit_code_of(command: Callable[[], object], *, if_interrupted: str = "") -> int:
    """Run a command and return its exit code: 1 after an error that the user can act on, else 0.

    The message of such an error is printed, and so is what the operating system refuses, such as to
    read a folder or to give memory. The interrupt key ends the command with one line and code 130;
    an output that is no longer read (``| head``) ends it quietly with code 1. Any other exception
    is a bug and is not caught.

    Args:
        command: the command.
        if_interrupted: a sentence that says what to do after the interrupt key.
    """
    try:
        command()
        sys.stdout.flush()
    except EasnnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted. {if_interrupted}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        return 1
    except (OSError, MemoryError, RuntimeError) as error:
        plain = said_plainly(error)
        if plain is None:
            raise
        print(f"error: {plain}", file=sys.stderr)
        return 1
    return 0


def _output_is_closed() -> bool:
    """Return whether nobody reads the output any more; if so, discard what is left of it."""
    try:
        print(flush=True)
    except BrokenPipeError:
        # Python flushes the output again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _with_cache_kind(words: list[str]) -> list[str]:
    """Insert the default after ``--cache`` if no cache kind follows it."""
    if "--cache" not in words:
        return words
    after = words.index("--cache") + 1
    if after < len(words) and words[after] in get_args(CacheKind):
        return words
    return [*words[:after], "ram", *words[after:]]
