"""The vectors of prices that a client in another language is checked by: the engine answers each, and they leave no rule out."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sync_protocol.entities import BY_NAME
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.engine import line_digest
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.rules.pricing.refunds import refund_amount
from tests.rules.make_vectors import FOLDER, THEMES, made, refunds, written
from tests.support.price_features import MAY_OCCUR, features
from tests.support.price_lookups import Book, price_in

PAGE = Path(__file__).parents[2] / "docs" / "PRICING.md"
FILES = sorted(path.stem for path in FOLDER.glob("*.json"))


def read(theme: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{theme}.json").read_text(encoding="utf-8"))
    return found


def vectors(*themes: str) -> list[Any]:
    return [pytest.param(vector, id=f"{theme}: {vector['name']}") for theme in themes for vector in read(theme)]


def question(vector: dict[str, Any]) -> tuple[Book, Basket]:
    """Read as a client would: rows by the name of their entity, and nothing that our own types do not know."""
    book = {BY_NAME[name].row: msgspec.convert(rows, list[BY_NAME[name].row]) for name, rows in vector["rows"].items()}
    return book, msgspec.convert(vector["basket"], Basket)


@pytest.mark.parametrize("vector", vectors(*THEMES))
def test_the_engine_answers_as_the_vector_says_to_the_byte(vector: dict[str, Any]) -> None:
    price = price_in(*question(vector))
    assert json.loads(msgspec.json.encode(price)) == vector["expected"]
    assert msgspec.json.encode(price) == msgspec.json.encode(vector["expected"])
    assert [line_digest(line) for line in price.lines] == vector["digests"]


@pytest.mark.parametrize("vector", vectors("refunds"))
def test_a_refund_is_as_the_vector_says(vector: dict[str, Any]) -> None:
    asked = (vector[name] for name in ("paid_minor", "quantity", "returned_before", "returned_now"))
    assert refund_amount(*asked) == vector["refund_minor"]


def test_every_rule_of_what_a_basket_costs_has_a_vector() -> None:
    """What a quotation proves is asked of rows at two times, which is no vector."""
    of_baskets, _, of_quotations = PAGE.read_text(encoding="utf-8").partition("## The proof of a quotation")
    assert of_quotations
    stated = set(re.findall(r"^- \*\*(P-[0-9]+)\*\*", of_baskets, re.MULTILINE))
    named = Counter(rule for theme in FILES for vector in read(theme) for rule in vector["rules"])
    assert stated == set(named)
    assert len(stated) > 40


def test_every_fate_obstacle_hold_kind_and_currency_has_a_vector() -> None:
    shown = set()
    for theme in THEMES:
        for vector in read(theme):
            book, _ = question(vector)
            shown |= set(features(book, msgspec.convert(vector["expected"], BasketPrice)))
    assert shown == MAY_OCCUR


def test_no_two_vectors_have_one_name() -> None:
    names = Counter(vector["name"] for theme in FILES for vector in read(theme))
    assert {name for name, times in names.items() if times > 1} == set()
    assert len(names) >= 150


@pytest.mark.parametrize("theme", THEMES)
def test_the_vectors_are_those_that_are_declared(theme: str) -> None:
    text = (FOLDER / f"{theme}.json").read_text(encoding="utf-8")
    assert text == written([made(vector) for vector in THEMES[theme]]), (
        "say `python -m tests.rules.make_vectors`, and read the difference"
    )


def test_the_files_are_those_of_the_themes() -> None:
    assert [*sorted([*THEMES, "refunds"])] == FILES
    assert (FOLDER / "refunds.json").read_text(encoding="utf-8") == written(refunds())
