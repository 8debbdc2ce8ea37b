"""The declaration of a setting: default, allowed values, unit and meaning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar, cast

from easnn.config.kinds import Bounds, Kind, kind_of
from easnn.config.on_resume import OnResume, refused
from easnn.utils.errors import ConfigError

Value = TypeVar("Value")

NOT_DECLARED = refused("its declaration does not say that it may (`on_resume`)")
"""What holds for a key of an experiment file that does not declare it."""


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
    on_resume: OnResume = NOT_DECLARED,
    scores: bool = False,
) -> Value:
    """Declare a setting in the body of a :class:`~easnn.config.Config`.

    The annotation gives the type, which also determines how text is parsed::

        thresh: float = key(1.0, "firing threshold")
        reset: float | None = key(0.0, "membrane after a spike")

    Args:
        default: value until another one is set.
        meaning: one line for the tables of all keys.
        choices: allowed texts, if they are only known at run time; otherwise use ``Literal``.
        low: smallest allowed number; for a tuple, of each item.
        high: largest allowed number.
        above: exclusive lower bound.
        below: exclusive upper bound.
        multiple_of: number that an integer must be a multiple of.
        odd: whether an integer must be odd.
        unit: unit of a number, e.g. ``ms``.
        on_resume: what another value does to a run that is resumed: ``TAKES_EFFECT``, ``HARMLESS``
            or ``refused("…")``.
        scores: whether an AP can only be compared with those of the same value.

    Returns:
        A :class:`Key`, typed as its value for the type checker.
    """
    bounds = Bounds(low, high, above, below, multiple_of, odd)
    return cast(
        Value,
        Key(
            default,
            meaning,
            None if choices is None else tuple(choices),
            bounds,
            unit,
            on_resume,
            scores,
        ),
    )


class Key:
    """A declared setting: a descriptor that checks the values assigned to it.

    Read from an instance, the attribute is the value; read from the class, it is this declaration.

    Attributes:
        name: name of the attribute.
        group: heading in the tables, ``KEY_GROUP`` of the class that declares it.
        kind: the allowed values, from the annotation of the attribute.
        default: value until another one is set.
        meaning: one line for the tables.
        on_resume: what another value does to a run that is resumed.
        scores: whether an AP can only be compared with those of the same value.
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
        on_resume: OnResume,
        scores: bool,
    ) -> None:
        self.default = default
        self.meaning = meaning
        self.on_resume = on_resume
        self.scores = scores
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
        """Complete the declaration with the type of the attribute; called once by its class.

        Raises:
            ConfigError: if the type is not supported, or the default does not fit.
        """
        try:
            self.kind = kind_of(annotation, self._choices, self._bounds)
        except TypeError as error:
            raise ConfigError(f"`{self.name}` cannot be declared: {error}") from error
        self.default = self.convert(self.default)

    @property
    def allowed(self) -> str:
        """The allowed values with the unit, for the tables."""
        return self.kind.description + (f" ({self._unit})" if self._unit else "")

    def convert(self, value: object) -> Any:
        """Convert a Python value to a value of this key.

        Raises:
            ConfigError: if it does not fit.
        """
        try:
            return self.kind.convert(value)
        except ValueError:
            self._refuse(value)

    def parse(self, text: str) -> Any:
        """Parse a value of this key from text.

        Raises:
            ConfigError: if the text is not a value of this key.
        """
        try:
            return self.kind.parse(text)
        except ValueError:
            self._refuse(text)

    def _refuse(self, value: object) -> NoReturn:
        raise ConfigError(
            f"`{self.name}` must be {self.kind.description}, but is {value!r}."
        ) from None
