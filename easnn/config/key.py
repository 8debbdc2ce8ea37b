"""The declaration of one setting: its default, the values it allows, its unit and its meaning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar, cast

from easnn.config.kinds import Bounds, Kind, kind_of
from easnn.utils.errors import ConfigError

Value = TypeVar("Value")


def key(
    default: Value,
    meaning: str,
    *,
    choices: Iterable[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    multiple_of: int = 1,
    odd: bool = False,
    unit: str | None = None,
) -> Value:
    """Declare a setting in the body of a :class:`~easnn.config.Config`.

    The annotation gives the type and with it how text is parsed::

        thresh: float = key(1.0, "a spike is fired strictly above it")
        reset: float | None = key(0.0, "membrane after a spike")

    Args:
        default: value until another one is set.
        meaning: one line for the tables of all keys.
        choices: allowed texts, where they are known only at run time; otherwise use ``Literal``.
        low: smallest allowed number; of a tuple, of each of its items.
        high: largest allowed number.
        above: exclusive lower bound.
        below: exclusive upper bound.
        multiple_of: what an integer must be a multiple of.
        odd: whether an integer must be odd.
        unit: unit of a number, e.g. ``ms``.

    Returns:
        A :class:`Key`, typed as its value for the type checker.
    """
    bounds = Bounds(low, high, above, below, multiple_of, odd)
    return cast(
        Value, Key(default, meaning, None if choices is None else tuple(choices), bounds, unit)
    )


class Key:
    """A declared setting: a descriptor whose instances hold checked values.

    Read from an instance, the attribute is the value; read from the class, it is this declaration.

    Attributes:
        name: name of the attribute.
        group: heading under which tables list it, ``KEY_GROUP`` of the class that declares it.
        kind: the values that fit, from the annotation of the attribute.
        default: value until another one is set.
        meaning: one line for the tables.
    """

    name: str
    group: str
    kind: Kind[Any]

    def __init__(
        self,
        default: Any,
        meaning: str,
        choices: tuple[str, ...] | None,
        bounds: Bounds,
        unit: str | None,
    ) -> None:
        self.default = default
        self.meaning = meaning
        self._choices = choices
        self._bounds = bounds
        self._unit = unit

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name
        self.group = owner.KEY_GROUP

    def __get__(self, instance: object | None, owner: type) -> Any:
        return self if instance is None else vars(instance).get(self.name, self.default)

    def __set__(self, instance: object, value: object) -> None:
        vars(instance)[self.name] = self.convert(value)

    def annotate(self, annotation: Any) -> None:
        """Complete the declaration by the type of the attribute; its class does so once.

        Raises:
            ConfigError: if keys cannot have this type, or the default does not fit.
        """
        try:
            self.kind = kind_of(annotation, self._choices, self._bounds)
        except TypeError as error:
            raise ConfigError(f"`{self.name}` cannot be declared: {error}") from error
        self.default = self.convert(self.default)

    @property
    def allowed(self) -> str:
        """What fits, with the unit, for the tables."""
        return self.kind.description + (f" ({self._unit})" if self._unit else "")

    def convert(self, value: object) -> Any:
        """Return a Python value as a value of this key.

        Raises:
            ConfigError: if it does not fit.
        """
        try:
            return self.kind.convert(value)
        except ValueError:
            self._refuse(value)

    def parse(self, text: str) -> Any:
        """Return the value that ``text`` stands for.

        Raises:
            ConfigError: if it stands for none.
        """
        try:
            return self.kind.parse(text)
        except ValueError:
            self._refuse(text)

    def _refuse(self, value: object) -> NoReturn:
        raise ConfigError(
            f"`{self.name}` must be {self.kind.description}, but is {value!r}."
        ) from None
