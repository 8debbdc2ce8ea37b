"""Frozen sets of declared settings."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from easnn.config import Config, Key, key
from easnn.utils.errors import ConfigError


class NeuronKeys(Config):
    KEY_GROUP = "Neurons"

    thresh: float = key(1, "a spike is fired strictly above it")
    reset: float | None = key(0.0, "membrane after a spike")


class NetworkKeys(Config):
    steps: int = key(4, "time steps", low=1)
    sides: tuple[int, int] = key((640, 480), "height,width", low=32, unit="px")


class Network(NetworkKeys, NeuronKeys):
    name: str = key("plain", "what it is called")

    def check(self) -> None:
        if self.steps == 1 and self.reset is None:
            raise ConfigError("`reset` does nothing for a single step.")


class Everything(Network):
    seed: int = key(0, "of all randomness")


def test_defaults_and_values() -> None:
    assert Network().values() == {
        "thresh": 1.0,
        "reset": 0.0,
        "steps": 4,
        "sides": (640, 480),
        "name": "plain",
    }
    network = Network(thresh=2, sides=[32, 64], reset=None)
    assert (network.thresh, network.sides, network.reset) == (2.0, (32, 64), None)
    assert type(network.thresh) is type(Network().thresh) is float
    assert type(network.sides) is tuple


def test_declarations_come_from_all_bases_in_order() -> None:
    declared = Everything.declarations()
    assert list(declared) == ["thresh", "reset", "steps", "sides", "name", "seed"]
    assert {name: declared[name].group for name in ("thresh", "steps")} == {
        "thresh": "Neurons",
        "steps": "Keys",
    }
    assert isinstance(Everything.thresh, Key)
    assert Everything.thresh is NeuronKeys.thresh is declared["thresh"]
    assert declared["sides"].allowed == (
        "2 values separated by commas, each a whole number ≥ 32 (px)"
    )
    assert declared["thresh"].meaning == "a spike is fired strictly above it"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tresh": 1.0}, "Unknown key `tresh`. Did you mean `thresh`?"),
        ({"steps": 0}, "`steps` must be a whole number ≥ 1, but is 0."),
        ({"steps": True}, "`steps` must be a whole number ≥ 1, but is True."),
        ({"thresh": "1"}, "`thresh` must be a number, but is '1'."),
        ({"name": " "}, "`name` must be text, but is ' '."),
        ({"steps": 1, "reset": None}, "`reset` does nothing for a single step."),
    ],
)
def test_values_that_do_not_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Network(**values)
    assert str(error.value) == message
    with pytest.raises(ConfigError) as error:
        Network().replace(**values)
    assert str(error.value) == message


def test_text_is_parsed() -> None:
    assert Network.declarations()["sides"].parse("96,64") == (96, 64)
    with pytest.raises(ConfigError) as error:
        Network.declarations()["sides"].parse("96")
    assert str(error.value) == (
        "`sides` must be 2 values separated by commas, each a whole number ≥ 32, but is '96'."
    )


def test_values_cannot_be_changed() -> None:
    network = Network()
    with pytest.raises(AttributeError) as error:
        network.steps = 3
    assert str(error.value) == "Network is frozen: use `replace(steps=…)` for a copy."
    with pytest.raises(AttributeError):
        del network.steps
    assert network.steps == 4


def test_replace_returns_a_copy() -> None:
    network = Network(name="old", steps=1)
    changed = network.replace(name="new")
    assert (network.name, changed.name, changed.steps) == ("old", "new", 1)
    assert type(changed) is Network


def test_equal_values_are_equal() -> None:
    assert Network(steps=4) == Network()
    assert hash(Network(steps=4)) == hash(Network())
    assert Network(steps=3) != Network()
    assert NetworkKeys() != Network()
    assert Network() != {"steps": 4}
    assert {Network(): 1}[Network(thresh=1)] == 1


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_are_equal(duplicate: Any) -> None:
    network = Network(sides=(64, 32), reset=None)
    assert duplicate(network) == network


def test_each_part_takes_its_own_settings() -> None:
    everything = Everything(thresh=0.5, steps=3, seed=7)
    assert NeuronKeys.of(everything) == NeuronKeys(thresh=0.5)
    assert Network.of(everything, name="part") == Network(thresh=0.5, steps=3, name="part")
    assert Network.of(NeuronKeys(thresh=0.5)) == Network(thresh=0.5)
    with pytest.raises(ConfigError, match="does nothing for a single step"):
        Network.of(everything, steps=1, reset=None)


def test_repr_creates_it_again() -> None:
    assert repr(NeuronKeys(reset=None)) == "NeuronKeys(thresh=1.0, reset=None)"


@pytest.mark.parametrize(
    ("annotations", "value", "message"),
    [
        ({}, key(1, "how many"), "`sheep` needs a type in `Own`, e.g. `sheep: int = key(…)`."),
        (
            {"sheep": dict},
            key(1, "how many"),
            "`sheep` cannot be declared: a key cannot hold <class 'dict'>",
        ),
        (
            {"sheep": tuple[int, str]},
            key((1, "a"), "which"),
            "`sheep` cannot be declared: a key cannot hold tuple[int, str]: the items of a tuple "
            "must be of one type",
        ),
        (
            {"sheep": int},
            key(0, "how many", low=1),
            "`sheep` must be a whole number ≥ 1, but is 0.",
        ),
        ({"sheep": int}, key(None, "how many"), "`sheep` must be a whole number, but is None."),
    ],
)
def test_wrong_declarations(annotations: dict[str, Any], value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        type("Own", (Config,), {"__annotations__": annotations, "sheep": value})
    assert str(error.value) == message
