"""A frozen set of declared settings."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, NoReturn, Self, dataclass_transform

from easnn.config.key import Key
from easnn.utils.errors import ConfigError, did_you_mean


@dataclass_transform(kw_only_default=True)
class Config:
    """Base class of settings that are declared with :func:`~easnn.config.key`.

    It works like a frozen dataclass whose fields validate and document themselves. An experiment
    (:class:`~easnn.exp.EventExp`) inherits the declarations of all its parts, so that each is
    written once, and passes each part its own values with :meth:`of`::

        class NeuronKeys(Config):
            KEY_GROUP = "Neurons"
            thresh: float = key(1.0, "firing threshold")

        NeuronKeys(thresh=0.5).thresh          # 0.5
        NeuronKeys.of(experiment)              # with the experiment's `thresh`

    Args:
        **values: settings that differ from their defaults.

    Raises:
        ConfigError: for an unknown setting, a value that does not fit, or values that do not fit
            together.
    """

    KEY_GROUP: ClassVar[str] = "Keys"
    """Heading of the settings of a class in the tables of all keys."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Key)}
        annotations = inspect.get_annotations(cls, eval_str=True) if own else {}
        for name, declared in own.items():
            if name not in annotations:
                raise ConfigError(
                    f"`{name}` needs a type in `{cls.__name__}`, e.g. `{name}: int = key(…)`."
                )
            declared.annotate(annotations[name])

    def __init__(self, **values: Any) -> None:
        known = self.declarations()
        for name, value in values.items():
            if name not in known:
                raise unknown_key(name, known)
            vars(self)[name] = known[name].convert(value)
        self.check()

    def check(self) -> None:
        """Check that the values fit together; subclasses override it.

        Raises:
            ConfigError: if they do not.
        """

    @classmethod
    def declarations(cls) -> dict[str, Key]:
        """Return the declared settings by name, in order of declaration, base classes first."""
        declared: dict[str, Key] = {}
        for base in reversed(cls.__mro__):
            declared |= {
                name: value for name, value in vars(base).items() if isinstance(value, Key)
            }
        return declared

    @classmethod
    def of(cls, other: Config, **changes: Any) -> Self:
        """Return the settings of this class with the values of ``other``, except for ``changes``.

        Raises:
            ConfigError: if the values do not fit together.
        """
        shared = cls.declarations().keys() & other.declarations().keys()
        return cls(**{**{name: getattr(other, name) for name in shared}, **changes})

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed.

        Raises:
            ConfigError: if a value does not fit, or the values do not fit together.
        """
        return self.of(self, **changes)

    def values(self) -> dict[str, Any]:
        """Return the values by name."""
        return {name: getattr(self, name) for name in self.declarations()}

    def plain(self) -> dict[str, Any]:
        """Return the values by name as built-in types, from which they can be restored."""
        return {
            name: key.kind.plain(getattr(self, name)) for name, key in self.declarations().items()
        }

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__} is frozen: use `replace({name}=…)` for a copy."
        )

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Config)
            and self.values() == other.values()
        )

    def __hash__(self) -> int:
        return hash((type(self), *self.values().values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.values().items())
        return f"{type(self).__name__}({values})"


def unknown_key(name: str, known: dict[str, Key]) -> ConfigError:
    """Return the error for an undeclared setting, with the closest declared name."""
    hint = did_you_mean(name, known) or " `--help-keys` lists every key."
    return ConfigError(f"Unknown key `{name}`.{hint}")
