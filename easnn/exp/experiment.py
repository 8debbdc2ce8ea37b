"""Settings that an experiment file and then the command line may change, each value checked."""

from __future__ import annotations

from collections.abc import Sequence

from easnn.config import Config
from easnn.config.config import unknown_key
from easnn.utils.errors import ConfigError


class Experiment(Config):
    """Base class of experiments: a :class:`~easnn.config.Config` that can be changed.

    An experiment file sets keys in ``__init__`` and may declare further ones. Setting an undeclared
    attribute raises :class:`ConfigError`, so that a misspelt key does not go unnoticed. Attributes
    that are not keys begin with an underscore or, in the class body, are written in capitals.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known = cls.declarations()
        for name, value in vars(cls).items():
            if (
                name.startswith("_")
                or name.isupper()
                or callable(value)
                or hasattr(value, "__get__")
            ):
                continue
            if any(name in vars(base) for base in cls.__mro__[1:]):
                raise ConfigError(
                    f"`{name}` must be set in `__init__` of `{cls.__name__}`, as `self.{name} = "
                    f"{value!r}`, but is set in the class."
                )
            raise unknown_key(name, known)

    def __setattr__(self, name: str, value: object) -> None:  # type: ignore[override]
        known = self.declarations()
        if name in known:
            known[name].__set__(self, value)
        elif name.startswith("_"):
            vars(self)[name] = value
        else:
            raise unknown_key(name, known)

    __hash__ = None  # type: ignore[assignment]

    def merge(self, words: Sequence[str]) -> None:
        """Set keys from ``key value key value …``, as on the command line; on an error, set none.

        Raises:
            ConfigError: for an unknown key, a value that does not fit, a key without a value, or a
                key given twice with different values.
        """
        known = self.declarations()
        texts: dict[str, str] = {}
        pairs = list(zip(words[::2], words[1::2], strict=False))
        if len(words) % 2:
            lonely = next((name for name, text in pairs if {name, text} <= known.keys()), words[-1])
            raise ConfigError(f"Keys and values must come in pairs, but `{lonely}` has no value.")
        for name, text in pairs:
            if name not in known:
                raise unknown_key(name, known)
            if texts.setdefault(name, text) != text:
                raise ConfigError(
                    f"`{name}` must be given once, but is {texts[name]!r} and {text!r}."
                )
        values = {name: known[name].parse(text) for name, text in texts.items()}
        for name, value in values.items():
            setattr(self, name, value)

    def is_set(self, name: str) -> bool:
        """Return whether a key was set by a file or on the command line."""
        return name in vars(self)

    def load_plain(self, values: dict[str, object]) -> None:
        """Set keys from the values that :meth:`plain` returned; on an error, set none.

        Raises:
            ConfigError: for an unknown key or a value that does not fit.
        """
        known = self.declarations()
        for name in values:
            if name not in known:
                raise unknown_key(name, known)
        converted = {name: known[name].convert(value) for name, value in values.items()}
        for name, value in converted.items():
            setattr(self, name, value)
