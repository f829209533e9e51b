"""The vectors that a client in another language is checked by, executed here. Each file says what goes in and what comes out."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from sync_protocol.checksums import canonical_text, row_checksum
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus, Territory
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.intents import RequestedLine
from sync_protocol.rules.order_review import OrderFacts, basket_lines, review_order
from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from tests.support.price_lookups import Book, price_in

VECTORS = Path(__file__).parent / "vectors"


def vectors(name: str) -> list[Any]:
    found = json.loads((VECTORS / f"{name}.json").read_text())
    return [pytest.param(vector, id=vector["name"]) for vector in found]


def identifier(name: str) -> UUID:
    return UUID(bytes=name.encode().rjust(16, b"\0"))


def entries_of(product: str, breaks: list[tuple[str, int, int]], *, first: int = 1) -> list[PriceEntry]:
    return [
        PriceEntry(
            id=UUID(int=place),
            price_list_id=identifier(price_list),
            product_id=identifier(product),
            min_quantity=min_quantity,
            unit_price=unit_price,
        )
        for place, (price_list, min_quantity, unit_price) in enumerate(breaks, start=first)
    ]


CUSTOMER = Customer(id=UUID(int=1), code="C", name="C", status=CustomerStatus.ACTIVE, price_list_id=identifier("own"))


def list_of(name: str, currency: str) -> PriceList:
    return PriceList(id=identifier(name), code=name, name=name, currency=currency)


def product_of(sku: str, status: str = "active") -> Product:
    identity = {"id": identifier(sku), "sku": sku, "name": sku, "description": "", "unit_id": UUID(int=1)}
    return Product(**identity, status=ProductStatus(status))


@pytest.mark.parametrize("vector", vectors("rounding"))
def test_an_amount_is_as_the_vector_says(vector: dict[str, Any]) -> None:
    unit_price, quantity, discount, digits = (
        vector[name] for name in ("unit_price", "quantity", "discount_basis_points", "minor_digits")
    )
    assert gross_amount(unit_price, 1, quantity, digits, discount) == vector["amount_minor"]


@pytest.mark.parametrize("vector", vectors("prices"))
def test_a_price_is_as_the_vector_says(vector: dict[str, Any]) -> None:
    territory = Territory(id=UUID(int=2), code="T", name="T", time_zone="UTC", price_list_id=identifier("territory"))
    lists = vector["lists"]
    book: Book = {
        Customer: [replace(CUSTOMER, territory_id=territory.id if "territory" in lists else None)],
        Territory: [territory],
        PriceList: [list_of(name, "EUR") for name in ("own", "territory", "other")],
        Product: [product_of("P")],
        PriceEntry: entries_of("P", vector["entries"]),
    }
    line = BasketLine(line_id=UUID(int=9), product_id=identifier("P"), quantity=vector["quantity"])
    basket = Basket(customer_id=CUSTOMER.id, channel=Channel.REP, instant_ms=1, lines=(line,))
    (found,) = price_in(book, basket).lines
    assert found.unit_price == vector["unit_price"]
    if found.unit_price is not None:
        gap = found.gap
        following = [vector["quantity"] + (gap.missing_quantity or 0), gap.unit_price] if gap is not None else None
        assert following == vector["next_break"]


@pytest.mark.parametrize("vector", vectors("review"))
def test_an_order_is_decided_as_the_vector_says(vector: dict[str, Any]) -> None:
    lines = tuple(
        RequestedLine(line_id=UUID(int=place), product_id=identifier(sku), quantity=quantity, unit_price=unit_price)
        for place, (sku, quantity, unit_price) in enumerate(vector["lines"], start=1)
    )
    status = CustomerStatus(vector["customer"]["status"])
    customer = replace(CUSTOMER, status=status, review_above_minor=vector["customer"].get("review_above_minor"))
    products = vector["products"]
    book: Book = {
        Customer: [customer],
        PriceList: [list_of("own", vector["customer_currency"])],
        Product: [product_of(sku, each["status"]) for sku, each in products.items()],
        PriceEntry: [
            entry
            for place, (sku, each) in enumerate(products.items())
            for entry in entries_of(sku, [("own", *rung) for rung in each["breaks"]], first=100 * place + 1)
        ],
    }
    basket = Basket(
        customer_id=CUSTOMER.id, channel=Channel.REP, instant_ms=1, currency=vector["currency"], lines=basket_lines(lines)
    )
    facts = OrderFacts(customer=customer, available={identifier(sku): each["available"] for sku, each in products.items()})
    decision = review_order(lines, (), price_in(book, basket), facts)
    assert [decision.outcome, list(decision.codes), decision.total_minor] == [
        vector[key] for key in ("outcome", "codes", "total_minor")
    ]
    decided = [[line.price.unit_price, line.price.amount_minor, line.allocated, line.backordered] for line in decision.lines]
    assert decided == vector["decided"]


@pytest.mark.parametrize("vector", vectors("checksums"))
def test_a_row_has_the_checksum_that_the_vectors_say(vector: dict[str, Any]) -> None:
    synced = BY_NAME[vector["entity"]]
    values = [bytes.fromhex(value["id"]) if isinstance(value, dict) else value for value in vector["values"]]
    assert canonical_text(synced.number, values) == vector["text"]
    assert row_checksum(synced, values) == vector["checksum"]
    assert synced.bucket.range_of(UUID(bytes=values[0])) == vector["range"]
