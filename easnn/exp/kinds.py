"""Kinds of values that a key can hold: how text is read, which Python values fit, how both are shown.

A kind brings the text of the command line (``parse``) and the value that an experiment file assigns
(``convert``) to the same checked value. Both raise ``ValueError`` when it does not fit; the key, which knows
its name, makes the message from the kind's ``description``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar, cast

Value = TypeVar("Value")
Member = TypeVar("Member", bound=Enum)

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Kind(Generic[Value]):
    """A set of values.

    Attributes:
        description: what fits, as it completes the sentence "`key` must be …".
        parse: text → value.
        convert: Python value → value of this kind.
        plain: value → built-in types, from which ``convert`` makes it again.
        text: value → text, from which ``parse`` makes it again.
    """

    description: str
    parse: Callable[[str], Value]
    convert: Callable[[object], Value]
    plain: Callable[[Value], object] = lambda value: value
    text: Callable[[Value], str] = str


def choice(*options: Value) -> Kind[Value]:
    """One of a few built-in values; ``choice(True, False)`` is the strict boolean."""
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


def boolean() -> Kind[bool]:
    """``True`` or ``False``, and no other spelling."""
    return choice(True, False)


def member(enumeration: type[Member]) -> Kind[Member]:
    """A member of an enumeration whose values are texts; a file may assign the member, its text or a bool."""

    def convert(value: object) -> Member:
        return value if isinstance(value, enumeration) else enumeration(str(value))

    return Kind(
        _one_of([option.value for option in enumeration]),
        parse=enumeration,
        convert=convert,
        plain=lambda option: option.value,
        text=lambda option: str(option.value),
    )


def integer(
    *, low: int | None = None, high: int | None = None, multiple_of: int = 1, odd: bool = False
) -> Kind[int]:
    """A whole number within ``[low, high]``, if asked for a multiple of another one, or odd."""

    def check(number: int) -> int:
        if number % multiple_of or (odd and number % 2 == 0) or not _within(number, low, high):
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

    noun = f"a multiple of {multiple_of}" if multiple_of > 1 else "an odd number" if odd else "a whole number"
    return Kind(noun + _range(low, high), parse, convert)


def real(
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Kind[float]:
    """A finite number within ``[low, high]``, or with ``above`` and ``below`` without that end."""

    def check(number: float) -> float:
        inside = (above is None or number > above) and (below is None or number < below)
        if not (math.isfinite(number) and inside and _within(number, low, high)):
            raise ValueError
        return number

    def parse(text: str) -> float:
        if not _NUMBER.fullmatch(text):
            raise ValueError
        return check(float(text))

    def convert(value: object) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ValueError
        return check(float(value))

    return Kind("a number" + _range(low, high, above, below), parse, convert)


def words() -> Kind[str]:
    """Text that is not empty."""

    def convert(value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError
        return value

    return Kind("text", convert, convert)


def pair(item: Kind[Value]) -> Kind[tuple[Value, Value]]:
    """Two values, as :func:`several`."""
    return cast(Kind[tuple[Value, Value]], several(item, length=2))


def several(item: Kind[Value], *, length: int | None = None) -> Kind[tuple[Value, ...]]:
    """A tuple; as text its items stand between commas, with or without brackets around them."""

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
        f"{count} with commas between them, each {item.description}",
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


def _within(number: float, low: float | None, high: float | None) -> bool:
    return (low is None or number >= low) and (high is None or number <= high)


def _range(
    low: float | None, high: float | None, above: float | None = None, below: float | None = None
) -> str:
    bounds = {"≥": low, ">": above, "≤": high, "<": below}
    return " and".join(f" {sign} {bound}" for sign, bound in bounds.items() if bound is not None)


def _one_of(texts: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
