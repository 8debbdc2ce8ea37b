"""A set of declared keys that can be set from Python and from the command line, and by nothing undeclared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from easnn.exp.key import Key
from easnn.utils.errors import ConfigError, did_you_mean


class Settings:
    """Base of experiments: attributes are the declared keys (:class:`~easnn.exp.key.Key`) and nothing else.

    A subclass sets keys in ``__init__`` and may declare further ones as class attributes. Setting an
    undeclared attribute raises :class:`ConfigError`: a misspelt key cannot go unnoticed. Attributes that are
    no keys begin with an underscore or, in a class, are written in capitals.
    """

    KEY_GROUP: ClassVar[str] = "Keys"
    """Heading under which the tables list the keys that a class declares."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known = cls.declarations()
        for name, value in vars(cls).items():
            if name.startswith("_") or name.isupper() or callable(value) or hasattr(value, "__get__"):
                continue
            if any(name in vars(base) for base in cls.__mro__[1:]):
                raise ConfigError(
                    f"`{name}` must be set in `__init__` of `{cls.__name__}`, as `self.{name} = {value!r}`, "
                    "but is set in the class."
                )
            raise _unknown(name, known)

    @classmethod
    def declarations(cls) -> dict[str, Key[Any]]:
        """Return the declared keys by name, in the order of their declaration, base classes first."""
        declared: dict[str, Key[Any]] = {}
        for base in reversed(cls.__mro__):
            declared |= {name: value for name, value in vars(base).items() if isinstance(value, Key)}
        return declared

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.declarations() and not name.startswith("_"):
            raise _unknown(name, self.declarations())
        super().__setattr__(name, value)

    def merge(self, words: Sequence[str]) -> None:
        """Set keys from ``key value key value …`` as on the command line: all of them, or on an error none.

        Raises:
            ConfigError: for an unknown key, a value that does not fit, a key without a value, or a key given
                twice with different values.
        """
        known = self.declarations()
        texts: dict[str, str] = {}
        pairs = list(zip(words[::2], words[1::2], strict=False))
        if len(words) % 2:
            lonely = next((name for name, text in pairs if {name, text} <= known.keys()), words[-1])
            raise ConfigError(f"Keys and values must come in pairs, but `{lonely}` has no value.")
        for name, text in pairs:
            if name not in known:
                raise _unknown(name, known)
            if texts.setdefault(name, text) != text:
                raise ConfigError(f"`{name}` must be given once, but is {texts[name]!r} and {text!r}.")
        for name, value in {name: known[name].parse(text) for name, text in texts.items()}.items():
            setattr(self, name, value)

    def is_set(self, name: str) -> bool:
        """Tell whether a key was set, by a file or on the command line, or else has its default."""
        return name in vars(self)

    def plain(self) -> dict[str, object]:
        """Return the value of every key as built-in types, from which :meth:`load_plain` sets them again."""
        return {name: key.kind.plain(getattr(self, name)) for name, key in self.declarations().items()}

    def load_plain(self, values: dict[str, object]) -> None:
        """Set keys from what :meth:`plain` returned: all of them, or on an error none.

        Raises:
            ConfigError: for an unknown key or a value that does not fit.
        """
        known = self.declarations()
        for name in values:
            if name not in known:
                raise _unknown(name, known)
        for name, value in {name: known[name].convert(value) for name, value in values.items()}.items():
            setattr(self, name, value)


def _unknown(name: str, known: dict[str, Key[Any]]) -> ConfigError:
    hint = did_you_mean(name, known) or " `--help-keys` lists every key."
    return ConfigError(f"Unknown key `{name}`.{hint}")
