"""What an explanation says in words: every answer has a sentence, and the numbers beside it are those of the answer."""

import random
from enum import StrEnum
from pathlib import Path

import pytest
from msgspec.structs import replace

from sync_protocol.entities.customers import Customer
from sync_protocol.entities.pricing import PriceEntry, ProductQuantityRule, Strength
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.explaining import Explained, explain
from sync_protocol.rules.pricing.explanation import Fate, LinePrice, Obstacle, PriceHold
from sync_protocol.rules.pricing.line_text import TypedLine, read_line
from sync_protocol.rules.pricing.quantities import nearest_quantities
from sync_protocol.rules.pricing.sentences import FATES, HOLDS, OBSTACLES, percent_text
from sync_protocol.rules.pricing.table import price_table
from sync_protocol.rules.pricing.terms import gathered
from sync_protocol.values import amount_text
from tests.rules.pricing_vectors import declare
from tests.support.price_books import question_of
from tests.support.price_lookups import Book, look_up_in

PAGE = Path(__file__).parents[2] / "docs" / "PRICING.md"
EXAMPLES = 300
_OF_QUANTITY = {Obstacle.NOT_IN_PACKS, Obstacle.QUANTITY_NOT_SOLD}


def explained(book: Book, basket: Basket) -> Explained:
    customer = next(row for row in book[Customer] if row.id == basket.customer_id)
    assert isinstance(customer, Customer)
    return gathered(explain(customer, basket), look_up_in(book))


@pytest.mark.parametrize(("kind", "sentences"), [(Fate, FATES), (Obstacle, OBSTACLES), (PriceHold, HOLDS)])
def test_every_answer_has_a_sentence_of_its_own(kind: type[StrEnum], sentences: dict[StrEnum, str]) -> None:
    assert set(sentences) == set(kind)
    assert len(set(sentences.values())) == len(kind)
    assert all(sentence.strip() for sentence in sentences.values())


def test_every_obstacle_and_hold_says_what_to_do() -> None:
    assert [sentence for sentence in (*OBSTACLES.values(), *HOLDS.values()) if "; " not in sentence] == []


@pytest.mark.parametrize("first", range(0, EXAMPLES, 100))
def test_a_table_shows_all_that_was_considered_and_every_total(first: int) -> None:
    for seed in range(first, first + 100):
        answer = explained(*question_of(random.Random(seed)))
        text = answer.text(as_json=False)
        price = answer.price
        assert text == "\n".join(price_table(price, answer.names))
        assert amount_text(price.total_minor, price.currency).rstrip() in text
        assert text.count("cannot be bought: ") == sum(line.obstacle is not None for line in price.lines)
        assert text.count("missed: ") == sum(len(line.missed) for line in price.lines)
        assert text.count("will be held: ") == sum(len(line.holds) for line in price.lines)
        said = [line for line in text.splitlines() if "cannot be " not in line]
        for fate in Fate:
            shown = sum(each.fate is fate for each in price.lists) + sum(each.fate is fate for each in price.offers)
            shown += sum(each.fate is fate for line in price.lines for each in (*line.candidates, *line.missed))
            assert sum(f" {FATES[fate]}" in line for line in said) == shown, fate


def test_a_nearest_quantity_is_one_in_which_the_line_is_sold() -> None:
    tried = 0
    for seed in range(EXAMPLES * 4):
        book, basket = question_of(random.Random(seed))
        for place, line in enumerate(explained(book, basket).price.lines):
            for quantity in nearest_quantities(line) if line.obstacle in _OF_QUANTITY else ():
                lines = list(basket.lines)
                lines[place] = replace(lines[place], quantity=quantity)
                again: LinePrice = explained(book, replace(basket, lines=tuple(lines))).price.lines[place]
                assert again.obstacle not in _OF_QUANTITY, (seed, quantity)
                tried += 1
    assert tried > 50


def test_a_line_in_packs_is_sent_to_a_quantity_that_keeps_the_rules_too() -> None:
    book, basket = next(each for each in map(_plain, range(100)) if each is not None)
    line = replace(basket.lines[0], quantity=7, pack_quantity=6)
    rule = ProductQuantityRule(
        id=line.line_id, product_id=line.product_id, strength=Strength.REQUIRED, minimum_quantity=20, multiple_quantity=4
    )
    answer = explained({**book, ProductQuantityRule: [rule]}, replace(basket, lines=(line,)))
    (priced,) = answer.price.lines
    assert (priced.obstacle, nearest_quantities(priced)) == (Obstacle.NOT_IN_PACKS, (24,))
    assert f"{OBSTACLES[Obstacle.NOT_IN_PACKS]}: 24" in answer.text(as_json=False)


def _plain(seed: int) -> tuple[Book, Basket] | None:
    """A company that has a price for a line of one base unit, whatever the rules of quantities say."""
    book, basket = question_of(random.Random(seed))
    book = {kind: rows for kind, rows in book.items() if kind.__name__ not in {"ListQuantityRule", "ProductQuantityRule"}}
    has_entries = any(isinstance(row, PriceEntry) for row in book.get(PriceEntry, ()))
    (first, *_) = basket.lines
    basket = replace(basket, lines=(replace(first, quantity=7, pack_quantity=1, manual=None),))
    (line,) = explained(book, basket).price.lines
    return (book, basket) if has_entries and line.obstacle is None and not line.quantities else None


@pytest.mark.parametrize(
    ("parts", "decimals", "said"),
    [(1_000, 2, "10 %"), (725, 2, "7.25 %"), (0, 2, "0 %"), (210_000, 4, "21 %"), (10_000, 2, "100 %")],
)
def test_a_percentage_has_no_decimals_that_say_nothing(parts: int, decimals: int, said: str) -> None:
    assert percent_text(parts, decimals) == said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("P130-04", TypedLine("P130-04")),
        ("P130-04:12", TypedLine("P130-04", 12)),
        ("P130-04:12/6", TypedLine("P130-04", 12, 6)),
        ("P130-04:12@12.50", TypedLine("P130-04", 12, unit_price=125_000)),
        ("P130-04:12/6-7.25%", TypedLine("P130-04", 12, 6, discount_basis_points=725)),
        ("a:b:3@0.0001", TypedLine("a:b", 3, unit_price=1)),
        *(
            (text, None)
            for text in ("P:0", "P:", ":3", "P:3/0", "P:3-5", "P:3-101%", "P:3@1.00001", "P:3@", "P:3-7.255%", "P:3@-1")
        ),
    ],
)
def test_a_line_is_read_as_it_is_typed_or_not_at_all(text: str, line: TypedLine | None) -> None:
    assert read_line(text) == line


def test_the_worked_example_is_what_the_engine_answers() -> None:
    asked = declare.vector(
        "worked example",
        "",
        declare.customer(
            price_list_id=declare.key("price_list", "school"), territory_id=declare.key("territory", "north"), tax_code="standard"
        ),
        declare.territory("north", on="base"),
        declare.address("Berlin"),
        declare.price_list("school", currency="EUR"),
        declare.price_list("base"),
        declare.product("bolt", tax_code="standard"),
        declare.price("bolt", 12_000, on="base", min_quantity=1),
        declare.price("bolt", 11_000, on="school", min_quantity=1),
        declare.price("bolt", 10_500, on="school", min_quantity=100),
        declare.price("bolt", 10_000, on="school", min_quantity=500),
        declare.agreed("bolt", 9_500, "contract", remaining_quantity=50),
        declare.offer("percent", "spring", value_basis_points=1_000, buy_quantity=100),
        declare.rate(190_000),
        declare.line("bolt", 120),
        so={},
    )
    text = explained(asked.book, asked.basket).text(as_json=False)
    assert f"```text\n{text}\n```" in PAGE.read_text(encoding="utf-8"), text
