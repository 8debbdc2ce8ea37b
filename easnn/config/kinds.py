"""The kinds of values that keys accept, and their conversion from and to text.

A kind turns the text of the command line (``parse``) and the value that an experiment file assigns
(``convert``) into the same checked value. Both raise a bare ``ValueError`` if it does not fit; the
key turns that into a message with its name and the kind's ``description``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from easnn.utils.files import expand_home

FilePath: TypeAlias = Annotated[str, "the path of a file or folder"]
"""The annotation of a setting that names a file or folder; ``~`` stands for the home folder."""

Value = TypeVar("Value")
Member = TypeVar("Member", bound=Enum)

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Bounds:
    """Bounds of a number; see :func:`easnn.config.key`."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    multiple_of: int = 1
    odd: bool = False

    def allow(self, number: float) -> bool:
        """Return whether a number is within the bounds."""
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
            and (self.multiple_of == 1 or number % self.multiple_of == 0)
            and not (self.odd and number % 2 == 0)
        )

    @property
    def description(self) -> str:
        """The bounds as text that follows "a number"."""
        signs = {"≥": self.low, ">": self.above, "≤": self.high, "<": self.below}
        return " and".join(f" {sign} {bound}" for sign, bound in signs.items() if bound is not None)


@dataclass(frozen=True)
class Kind(Generic[Value]):
    """A set of values.

    Attributes:
        description: the allowed values; completes the sentence "`key` must be …".
        parse: text → value.
        convert: Python value → value of this kind.
        plain: value → built-in types, which ``convert`` accepts.
        text: value → text, which ``parse`` accepts.
    """

    description: str
    parse: Callable[[str], Value]
    convert: Callable[[object], Value]
    plain: Callable[[Value], object] = lambda value: value
    text: Callable[[Value], str] = str


def choice(*options: Value) -> Kind[Value]:
    """One of several built-in values; ``choice(True, False)`` is a strict boolean."""
    by_text = {str(option): option for option in options}

    def parse(text: str) -> Value:
        if text not in by_text:
            raise ValueError
        return by_text[text]

    def convert(value: object) -> Value:
        for option in options:
            if type(value) is type(option) and value == option:  # 1 is not True
                return option
        raise ValueError

    return Kind(_one_of(list(by_text)), parse, convert)


def member(enumeration: type[Member]) -> Kind[Member]:
    """A member of an enumeration with text values; code may also assign its text or a bool."""

    def convert(value: object) -> Member:
        return value if isinstance(value, enumeration) else enumeration(str(value))

    return Kind(
        _one_of([option.value for option in enumeration]),
        parse=enumeration,
        convert=convert,
        plain=lambda option: option.value,
        text=lambda option: str(option.value),
    )


def integer(bounds: Bounds) -> Kind[int]:
    """A whole number within bounds."""

    def check(number: int) -> int:
        if not bounds.allow(number):
            raise ValueError
        return number

    def parse(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(text):
            raise ValueError
        return check(int(text))

    def convert(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError
        return check(value)

    multiple = f"a multiple of {bounds.multiple_of}"
    noun = (
        multiple if bounds.multiple_of > 1 else "an odd number" if bounds.odd else "a whole number"
    )
    return Kind(noun + bounds.description, parse, convert)


def real(bounds: Bounds) -> Kind[float]:
    """A finite number within bounds."""

    def check(number: float) -> float:
        if not (math.isfinite(number) and bounds.allow(number)):
            raise ValueError
        return number

    def parse(text: str) -> float:
        if not _NUMBER.fullmatch(text):
            raise ValueError
        return check(float(text))

    def convert(value: object) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ValueError
        try:
            return check(float(value))
        except OverflowError as error:  # an integer beyond the largest float
            raise ValueError from error

    return Kind("a number" + bounds.description, parse, convert)


def words() -> Kind[str]:
    """Text that is not empty."""

    def convert(value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError
        return value

    return Kind("text", convert, convert)


def path() -> Kind[str]:
    """Text that names a file or folder; a home folder may be written as ``~``."""

    def convert(value: object) -> str:
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(text, str) or not text.strip():
            raise ValueError
        return expand_home(text)

    return Kind("a path", convert, convert)


def several(item: Kind[Value], length: int | None = None) -> Kind[tuple[Value, ...]]:
    """A tuple; as text, its items are separated by commas, with or without brackets around them."""

    def check(values: tuple[Value, ...]) -> tuple[Value, ...]:
        if length is not None and len(values) != length:
            raise ValueError
        return values

    def parse(text: str) -> tuple[Value, ...]:
        inner = text.strip()
        if inner[:1] + inner[-1:] in ("()", "[]"):
            inner = inner[1:-1].strip()
        inner = inner.removesuffix(",")
        return check(tuple(item.parse(part.strip()) for part in inner.split(",")) if inner else ())

    def convert(value: object) -> tuple[Value, ...]:
        if not isinstance(value, (tuple, list)):
            raise ValueError
        return check(tuple(item.convert(part) for part in value))

    count = "values" if length is None else f"{length} values"
    return Kind(
        f"{count} separated by commas, each {item.description}",
        parse,
        convert,
        plain=lambda values: [item.plain(value) for value in values],
        text=lambda values: ",".join(item.text(value) for value in values) or "()",
    )


def optional(kind: Kind[Value]) -> Kind[Value | None]:
    """``None``, or a value of ``kind``."""
    return Kind(
        f"None or {kind.description}",
        parse=lambda text: None if text == "None" else kind.parse(text),
        convert=lambda value: None if value is None else kind.convert(value),
        plain=lambda value: None if value is None else kind.plain(value),
        text=lambda value: "None" if value is None else kind.text(value),
    )


def _one_of(texts: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def kind_of(annotation: Any, choices: tuple[str, ...] | None, bounds: Bounds) -> Kind[Any]:
    """Return the kind of values that an annotation allows.

    Args:
        annotation: ``bool``, ``int``, ``float``, ``str``, :data:`FilePath`, an ``Enum``, a
            ``Literal``, a ``tuple`` of one of these, or one of these ``| None``.
        choices: the allowed texts of ``str``; None allows any text that is not empty.
        bounds: the allowed numbers of ``int`` and ``float``.

    Raises:
        TypeError: for any other annotation.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType) and len(args) == 2 and NoneType in args:
        [inner] = [arg for arg in args if arg is not NoneType]
        return optional(kind_of(inner, choices, bounds))
    if origin is Literal:
        return choice(*args)
    if origin is tuple:
        items = [arg for arg in args if arg is not Ellipsis]
        if not items or any(item != items[0] for item in items):
            raise TypeError(
                f"a key cannot hold {annotation!r}: the items of a tuple must be of one type"
            )
        return several(kind_of(items[0], choices, bounds), None if Ellipsis in args else len(items))
    if annotation == FilePath:
        return path()
    if annotation is bool:
        return choice(True, False)
    if annotation is int:
        return integer(bounds)
    if annotation is float:
        return real(bounds)
    if annotation is str:
        return choice(*choices) if choices is not None else words()
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return member(annotation)
    raise TypeError(f"a key cannot hold {annotation!r}")
