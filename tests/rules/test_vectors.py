"""The vectors that a client in another language is checked by, executed here. Each file says what goes in and what comes out."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sync_protocol.checksums import canonical_text, row_checksum
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.intents import RequestedLine
from sync_protocol.rules.order_review import OrderFacts, review_order
from sync_protocol.rules.prices import next_break, resolve_price
from sync_protocol.rules.rounding import line_amount

VECTORS = Path(__file__).parent / "vectors"


def vectors(name: str) -> list[Any]:
    found = json.loads((VECTORS / f"{name}.json").read_text())
    return [pytest.param(vector, id=vector["name"]) for vector in found]


def identifier(name: str) -> UUID:
    return UUID(bytes=name.encode().rjust(16, b"\0"))


def entries_of(product: str, breaks: list[tuple[str, int, int]]) -> list[PriceEntry]:
    return [
        PriceEntry(
            id=UUID(int=place),
            price_list_id=identifier(price_list),
            product_id=identifier(product),
            min_quantity=min_quantity,
            unit_price=unit_price,
        )
        for place, (price_list, min_quantity, unit_price) in enumerate(breaks, start=1)
    ]


@pytest.mark.parametrize("vector", vectors("rounding"))
def test_an_amount_is_as_the_vector_says(vector: dict[str, Any]) -> None:
    given = (vector[name] for name in ("unit_price", "quantity", "discount_basis_points", "minor_digits"))
    assert line_amount(*given) == vector["amount_minor"]


@pytest.mark.parametrize("vector", vectors("prices"))
def test_a_price_is_as_the_vector_says(vector: dict[str, Any]) -> None:
    entries = entries_of("P", vector["entries"])
    found = resolve_price(entries, [identifier(name) for name in vector["lists"]], vector["quantity"])
    assert (found.unit_price if found else None) == vector["unit_price"]
    deeper = next_break(entries, found, vector["quantity"]) if found else None
    assert ([deeper.min_quantity, deeper.unit_price] if deeper else None) == vector["next_break"]


def facts_of(vector: dict[str, Any]) -> OrderFacts:
    products = vector["products"]
    customer = Customer(
        id=UUID(int=1),
        code="C",
        name="C",
        status=CustomerStatus(vector["customer"]["status"]),
        review_above_minor=vector["customer"].get("review_above_minor"),
    )
    return OrderFacts(
        customer=customer,
        currency=vector["customer_currency"],
        price_lists=(identifier("own"),),
        products={
            identifier(sku): Product(
                id=identifier(sku), sku=sku, name=sku, description="", unit_id=UUID(int=1), status=ProductStatus(each["status"])
            )
            for sku, each in products.items()
        },
        entries={identifier(sku): entries_of(sku, [("own", *rung) for rung in each["breaks"]]) for sku, each in products.items()},
        available={identifier(sku): each["available"] for sku, each in products.items()},
    )


@pytest.mark.parametrize("vector", vectors("review"))
def test_an_order_is_decided_as_the_vector_says(vector: dict[str, Any]) -> None:
    lines = tuple(
        RequestedLine(line_id=UUID(int=place), product_id=identifier(sku), quantity=quantity, unit_price=unit_price)
        for place, (sku, quantity, unit_price) in enumerate(vector["lines"], start=1)
    )
    decision = review_order(vector["currency"], lines, facts_of(vector))
    assert [decision.outcome, list(decision.codes), decision.total_minor] == [
        vector[key] for key in ("outcome", "codes", "total_minor")
    ]
    decided = [[line.unit_price, line.amount_minor, line.allocated, line.backordered] for line in decision.lines]
    assert decided == vector["decided"]


@pytest.mark.parametrize("vector", vectors("checksums"))
def test_a_row_has_the_checksum_that_the_vectors_say(vector: dict[str, Any]) -> None:
    synced = BY_NAME[vector["entity"]]
    values = [bytes.fromhex(value["id"]) if isinstance(value, dict) else value for value in vector["values"]]
    assert canonical_text(synced.number, values) == vector["text"]
    assert row_checksum(synced, values) == vector["checksum"]
    assert synced.bucket.range_of(UUID(bytes=values[0])) == vector["range"]
