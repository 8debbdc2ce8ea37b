"""One key of an experiment: a typed, documented attribute that checks what it is set to."""

from __future__ import annotations

from typing import ClassVar, Generic, NoReturn, Protocol, Self, TypeVar, overload

from easnn.exp.kinds import Kind
from easnn.utils.errors import ConfigError

Value = TypeVar("Value")


class KeyGroup(Protocol):
    """A class that declares keys.

    Attributes:
        KEY_GROUP: heading under which the tables list them.
    """

    KEY_GROUP: ClassVar[str]


class Key(Generic[Value]):
    """Declaration of a key, a class attribute of an experiment.

    Reading the attribute of an experiment gives its value, typed; setting it checks the value. Read from the
    class, it gives the declaration.

    Args:
        default: value until something else is set.
        kind: values that fit.
        meaning: one line for the tables.
        unit: unit of a number, e.g. ``ms``.
    """

    name: str
    group: str

    def __init__(self, default: Value, kind: Kind[Value], meaning: str, *, unit: str | None = None) -> None:
        self.default = default
        self.kind = kind
        self.meaning = meaning
        self.unit = unit

    def __set_name__(self, owner: type[KeyGroup], name: str) -> None:
        self.name = name
        self.group = owner.KEY_GROUP

    @overload
    def __get__(self, experiment: None, owner: type) -> Self: ...
    @overload
    def __get__(self, experiment: object, owner: type) -> Value: ...
    def __get__(self, experiment: object | None, owner: type) -> Self | Value:
        if experiment is None:
            return self
        value: Value = vars(experiment).get(self.name, self.default)
        return value

    def __set__(self, experiment: object, value: object) -> None:
        vars(experiment)[self.name] = self.convert(value)

    @property
    def allowed(self) -> str:
        """What fits, with the unit, for the tables."""
        return self.kind.description + (f" ({self.unit})" if self.unit else "")

    def convert(self, value: object) -> Value:
        """Return a Python value as a value of this key.

        Raises:
            ConfigError: if it does not fit.
        """
        try:
            return self.kind.convert(value)
        except ValueError:
            self._refuse(value)

    def parse(self, text: str) -> Value:
        """Return the value that ``text`` stands for.

        Raises:
            ConfigError: if it stands for none.
        """
        try:
            return self.kind.parse(text)
        except ValueError:
            self._refuse(text)

    def _refuse(self, value: object) -> NoReturn:
        raise ConfigError(f"`{self.name}` must be {self.kind.description}, but is {value!r}.") from None
