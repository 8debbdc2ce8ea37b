"""The values that an annotation allows, from Python and from text."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from easnn.config import FilePath
from easnn.config.kinds import Bounds, kind_of


class Mode(Enum):
    OFF = "False"
    ON = "True"
    FULL = "full"


def kind(annotation: Any, choices: tuple[str, ...] | None = None, **bounds: Any) -> Any:
    return kind_of(annotation, choices, Bounds(**bounds))


KINDS = {
    "bool": kind(bool),
    "int": kind(int),
    "positive int": kind(int, low=1),
    "odd": kind(int, low=1, odd=True),
    "multiple": kind(int, low=32, multiple_of=32),
    "float": kind(float),
    "share": kind(float, above=0, high=1),
    "str": kind(str),
    "path": kind(FilePath | None),
    "choices": kind(str, ("gen1", "gen4")),
    "literal": kind(Literal["focus", "conv"]),
    "mixed": kind(Literal[False, True, "split"]),
    "numbers": kind(Literal[1, 2]),
    "enum": kind(Mode),
    "optional": kind(float | None),
    "typing.Optional": kind(Optional[Literal["bn"]]),  # noqa: UP045 - the older spelling
    "pair": kind(tuple[int, int]),
    "many": kind(tuple[int, ...], low=1),
    "names": kind(tuple[Literal["train", "val"], ...]),
}


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("bool", "True or False"),
        ("int", "a whole number"),
        ("positive int", "a whole number ≥ 1"),
        ("odd", "an odd number ≥ 1"),
        ("multiple", "a multiple of 32 ≥ 32"),
        ("float", "a number"),
        ("share", "a number > 0 and ≤ 1"),
        ("str", "text"),
        ("path", "None or a path"),
        ("choices", "gen1 or gen4"),
        ("literal", "focus or conv"),
        ("mixed", "False, True or split"),
        ("enum", "False, True or full"),
        ("optional", "None or a number"),
        ("typing.Optional", "None or bn"),
        ("pair", "2 values separated by commas, each a whole number"),
        ("many", "values separated by commas, each a whole number ≥ 1"),
        ("names", "values separated by commas, each train or val"),
    ],
)
def test_descriptions(name: str, description: str) -> None:
    assert KINDS[name].description == description


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bool", "True", True),
        ("int", "-3", -3),
        ("int", "+3", 3),
        ("float", "1", 1.0),
        ("float", ".5", 0.5),
        ("float", "-1e-5", -1e-5),
        ("share", "1", 1.0),
        ("str", "a b", "a b"),
        ("choices", "gen4", "gen4"),
        ("literal", "conv", "conv"),
        ("mixed", "True", True),
        ("mixed", "split", "split"),
        ("numbers", "2", 2),
        ("enum", "True", Mode.ON),
        ("optional", "None", None),
        ("optional", "0.5", 0.5),
        ("typing.Optional", "bn", "bn"),
        ("pair", "3,4", (3, 4)),
        ("pair", "(3, 4)", (3, 4)),
        ("pair", "[3,4]", (3, 4)),
        ("many", "3,", (3,)),
        ("many", "()", ()),
        ("names", "train,val", ("train", "val")),
    ],
)
def test_text_that_fits(name: str, text: str, value: object) -> None:
    found = KINDS[name].parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bool", "true"),
        ("bool", "1"),
        ("int", "3.0"),
        ("int", "1_000"),
        ("int", ""),
        ("positive int", "0"),
        ("odd", "4"),
        ("multiple", "48"),
        ("multiple", "0"),
        ("float", "nan"),
        ("float", "1e999"),
        ("float", "None"),
        ("share", "0"),
        ("share", "1.1"),
        ("str", " "),
        ("choices", "gen2"),
        ("mixed", "1"),
        ("enum", "OFF"),
        ("optional", "none"),
        ("pair", "3"),
        ("pair", "3,4,5"),
        ("many", "3,0"),
        ("many", "3,,4"),
        ("names", "train,test"),
    ],
)
def test_text_that_does_not_fit(name: str, text: str) -> None:
    with pytest.raises(ValueError):
        KINDS[name].parse(text)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("float", 1, 1.0),
        ("pair", [3, 4], (3, 4)),
        ("enum", True, Mode.ON),
        ("enum", "full", Mode.FULL),
        ("enum", Mode.OFF, Mode.OFF),
        ("mixed", True, True),
        ("optional", None, None),
        ("names", ("val",), ("val",)),
    ],
)
def test_python_values_that_fit(name: str, given: object, value: object) -> None:
    found = KINDS[name].convert(given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("bool", 1),
        ("bool", "True"),
        ("int", True),
        ("int", 3.0),
        ("numbers", True),
        ("mixed", 1),
        ("float", "0.5"),
        ("float", True),
        ("float", float("inf")),
        ("str", 3),
        ("str", ""),
        ("enum", 1),
        ("optional", "None"),
        ("pair", (3, 4, 5)),
        ("pair", (3, 4.0)),
        ("names", "train"),
    ],
)
def test_python_values_that_do_not_fit(name: str, given: object) -> None:
    with pytest.raises(ValueError):
        KINDS[name].convert(given)


@pytest.mark.parametrize(
    ("name", "value", "text", "plain"),
    [
        ("bool", False, "False", False),
        ("float", 1e-5, "1e-05", 1e-5),
        ("enum", Mode.FULL, "full", "full"),
        ("optional", None, "None", None),
        ("typing.Optional", "bn", "bn", "bn"),
        ("pair", (3, 4), "3,4", [3, 4]),
        ("many", (), "()", []),
        ("names", ("train", "val"), "train,val", ["train", "val"]),
    ],
)
def test_text_and_plain_values_give_the_value_again(
    name: str, value: object, text: str, plain: object
) -> None:
    assert KINDS[name].text(value) == text
    assert KINDS[name].plain(value) == plain
    assert KINDS[name].parse(text) == KINDS[name].convert(plain) == value


@pytest.mark.parametrize("annotation", [dict, int | str, list[int], tuple[int, str], tuple[()]])
def test_annotations_without_a_kind(annotation: object) -> None:
    with pytest.raises(TypeError, match=r"^a key cannot hold "):
        kind(annotation)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~", "/home/me"),
        ("~/data/gen1", "/home/me/data/gen1"),
        ("~nobody-of-this-name/a", "~nobody-of-this-name/a"),
        ("./~", "./~"),
        ("a/~/b~", "a/~/b~"),
        ("./YOLOX_outputs/", "./YOLOX_outputs/"),
        (Path("~/data"), "/home/me/data"),
    ],
)
def test_a_path_may_begin_with_the_home_folder(
    given: str | Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert KINDS["path"].convert(given) == expected
    assert KINDS["path"].parse(str(given)) == expected
    assert KINDS["path"].plain(expected) == expected


@pytest.mark.parametrize("value", ["", " ", 3, b"/a"])
def test_what_is_no_path(value: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        KINDS["path"].convert(value)
