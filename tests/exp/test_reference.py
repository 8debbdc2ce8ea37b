from __future__ import annotations

from pathlib import Path

from easnn.exp import EventExp, get_exp, keys_page, keys_table

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_keys_is_up_to_date() -> None:
    assert (DOCS / "keys.md").read_text() == keys_page(EventExp()), "Run `make docs`."


def test_the_table_has_every_key_with_the_value_of_the_experiment() -> None:
    table = keys_table(get_exp(exp_name="e-yolox-s"))
    lines = [line.split("  ")[0].strip() for line in table.splitlines()]
    assert [name for name in EventExp.declarations() if name not in lines] == []
    assert any(line.split()[:2] == ["width", "0.5"] for line in table.splitlines())


def test_every_key_says_what_it_means() -> None:
    for name, key in EventExp.declarations().items():
        assert len(key.meaning) > 3, name
        assert not key.meaning.endswith("."), name
