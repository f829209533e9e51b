"""The whole of AdventureWorks on both engines: every figure of its README and of the issue, and a second run."""

import asyncio
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from server.integration.bulk import Counts
from sync_protocol.rules.pricing.amounts import gross_amount
from tests.server.integration.conftest import Imported
from tests.support.databases import open_database


def ask(imported: Imported, question: str) -> list[tuple[Any, ...]]:
    async def run() -> list[tuple[Any, ...]]:
        database = open_database(imported.url)
        try:
            async with database.read() as session:
                return [tuple(row) for row in await session.execute(sa.text(question))]
        finally:
            await database.close()

    return asyncio.run(run())


def tally(imported: Imported, entity: str) -> dict[str, int]:
    return {name: count for step in imported.first.steps if step.entity == entity for name, count in step.tally.items()}


def test_every_row_is_accounted_for(imported: Imported) -> None:
    assert imported.first.set_aside == 0
    assert all(step.adds_up for step in imported.first.steps)
    assert imported.first.holds
    assert imported.first.accepted == {
        "unit": 38,
        "category": 41,
        "product": 504,
        "price_list": 1,
        "price_entry": 304 + 185,
        "stock_location": 14,
        "stock_level": 1_069,
        "territory": 10,
        "rep": 17,
        "rep_territory": 18,
        "customer": 19_820,
        "address": 19_866,
        "contact": 19_919,
        "sales_order": 31_465,
        "sales_order_line": 121_317,
    }


def test_what_was_accepted_is_in_the_database(imported: Imported) -> None:
    for entity, count in imported.first.accepted.items():
        assert ask(imported, f"SELECT count(*) FROM {entity}") == [(count,)], entity
        assert imported.first.counts[entity] == Counts(inserted=count)


def test_kinds_are_those_of_the_source(imported: Imported) -> None:
    assert tally(imported, "product") == {"discontinued": 98, "variants": 176}
    assert tally(imported, "customer") == {"stores": 701, "stores that order": 635, "persons": 18_484}
    assert tally(imported, "rep") == {"with a territory": 14}
    assert tally(imported, "sales_order") == {
        "taken by reps": 3_806,
        "online": 27_659,
        "in another currency, kept in dollars": 13_976,
    }
    assert ask(imported, "SELECT channel, count(*) FROM sales_order GROUP BY channel ORDER BY channel") == [
        ("online", 27_659),
        ("rep", 3_806),
    ]
    assert ask(imported, "SELECT count(*) FROM sales_order WHERE channel = 'rep' AND rep_id IS NULL") == [(0,)]


def test_the_lines_of_every_order_add_up_to_its_subtotal(imported: Imported) -> None:
    (groups,) = (step.groups for step in imported.first.steps if step.groups is not None)
    assert groups.largest == Decimal("0.00005") <= Decimal("0.01")
    assert abs(groups.difference) == Decimal("0.004012") < Decimal("0.01")
    apart = """
        SELECT count(*), count(lines.amount), sum(abs(subtotal_minor - lines.amount)) FROM sales_order
        LEFT JOIN (SELECT order_id, sum(amount_minor) AS amount FROM sales_order_line GROUP BY order_id) AS lines
        ON lines.order_id = sales_order.id
    """
    assert ask(imported, apart) == [(31_465, 31_465, 0)]


def test_money_is_the_sources_own_but_for_rounding(imported: Imported) -> None:
    (order,) = (step for step in imported.first.steps if step.entity == "sales_order")
    assert {name: total.source for name, total in order.totals.items()} == {
        "subtotal_minor": Decimal("109846381.4039"),
        "tax_minor": Decimal("10186974.4602"),
        "freight_minor": Decimal("3183430.2518"),
        "total_minor": Decimal("123216786.1159"),
    }
    for name, total in order.totals.items():
        assert total.largest <= (Decimal("0.005") if name != "total_minor" else Decimal("0.015")), name
        assert ask(imported, f"SELECT sum({name}) FROM sales_order") == [(total.imported * 100,)]


def test_a_line_is_its_price_times_its_quantity_less_its_discount_within_a_cent(imported: Imported) -> None:
    lines = ask(imported, "SELECT unit_price, quantity, discount_basis_points, amount_minor FROM sales_order_line")
    assert len(lines) == 121_317
    assert all(abs(gross_amount(price, 1, quantity, 2, discount) - amount) <= 1 for price, quantity, discount, amount in lines)


def test_lines_are_numbered_from_one_without_gaps(imported: Imported) -> None:
    numbered = "SELECT min(line_number), max(line_number) - count(*), count(DISTINCT line_number) - count(*) FROM sales_order_line"
    assert set(ask(imported, f"{numbered} GROUP BY order_id")) == {(1, 0, 0)}


def test_every_order_goes_to_an_address_of_its_own_customer(imported: Imported) -> None:
    question = """
        SELECT count(*) FROM sales_order JOIN address
        ON address.id = sales_order.address_id AND address.customer_id = sales_order.customer_id
    """
    assert ask(imported, question) == [(31_465,)]


def test_every_customer_has_the_name_of_its_store_or_person(imported: Imported) -> None:
    assert ask(imported, "SELECT count(*) FROM customer WHERE name = code") == [(0,)]
    assert ask(imported, "SELECT name FROM customer WHERE code = 'AW00000001'") == [("A Bike Store",)]
    assert ask(imported, "SELECT count(*) FROM customer WHERE status <> 'active' OR review_above_minor IS NOT NULL") == [(0,)]


def test_a_price_has_the_breaks_of_the_volume_discounts(imported: Imported) -> None:
    question = """
        SELECT min_quantity, unit_price FROM price_entry JOIN product ON product.id = price_entry.product_id
        WHERE sku = 'HL-U509' ORDER BY min_quantity
    """
    assert ask(imported, question)[:2] == [(1, 349_900), (11, 342_902)]


def test_a_second_run_changes_nothing(imported: Imported) -> None:
    assert imported.heads[0] == imported.heads[1] > 0
    assert imported.second.holds
    for entity, count in imported.first.accepted.items():
        assert imported.second.counts[entity] == Counts(unchanged=count)


def test_it_is_quick_and_small(imported: Imported) -> None:
    """By this process's own processor time and growth: what else the machine does, and what ran here before, is no matter."""
    assert imported.processor_seconds < 60
    assert imported.grown_mb < 400
