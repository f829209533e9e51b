"""A device's replica with many prices in it, made of the registry without a server: millions of rows in a minute."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from sync_protocol.entities import BY_ROW
from sync_protocol.entities.catalog import Product, ProductStatus, Unit
from sync_protocol.entities.customers import Address, Customer, CustomerStatus, Segment, SegmentMember
from sync_protocol.entities.pricing import Exclusivity, PriceEntry, PriceList, PriceListAssignment
from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionKind,
    PromotionPhase,
    PromotionStatus,
    PromotionTarget,
    Reach,
    Stacking,
    TargetRole,
)
from sync_protocol.entities.taxes import TaxRate
from sync_protocol.replica_schema import create_sql, finish_sql
from sync_protocol.values import Row, uuid7
from sync_protocol.wire.codec import stored_values

LISTS: Final = 20
BREAKS: Final = (1, 10, 100)
PROMOTIONS: Final = 20
TARGETS_EACH: Final = 50


class PricedReplica(msgspec.Struct, frozen=True, kw_only=True):
    """What was built. `chain` are the lists that the customer buys from, nearest first."""

    path: Path
    customer_id: UUID
    product_ids: list[UUID]
    chain: tuple[UUID, ...]
    products: int
    lists: int = LISTS
    breaks: int = len(BREAKS)


def build(path: Path, products: int) -> PricedReplica:
    """A file that looks like a replica after a first sync."""
    chance = random.Random("42/prices")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    for statement in create_sql():
        connection.execute(statement)
    unit = Unit(id=_id(chance), code="EA", name="Each")
    goods = [
        Product(id=_id(chance), sku=f"SKU-{n:06d}", name=f"P {n}", description="", unit_id=unit.id, status=ProductStatus.ACTIVE)
        for n in range(products)
    ]
    lists = [PriceList(id=_id(chance), code=f"PL{n:02d}", name=f"List {n}", currency="EUR") for n in range(LISTS)]
    customer = Customer(id=_id(chance), code="C", name="C", status=CustomerStatus.ACTIVE, price_list_id=lists[0].id)
    with connection:
        for rows in ([unit], goods, lists, [customer], *_terms(chance, customer, lists, goods)):
            _put(connection, type(rows[0]), map(stored_values, rows))
        _put(connection, PriceEntry, _entries(chance, lists, goods))
    for statement in finish_sql():
        connection.execute(statement)
    connection.execute("INSERT INTO replica_state VALUES ('rows', randomblob(16))")
    connection.close()
    return PricedReplica(
        path=path,
        customer_id=customer.id,
        product_ids=[each.id for each in goods],
        chain=tuple(each.id for each in lists[:3]),
        products=products,
    )


def _id(chance: random.Random) -> UUID:
    return uuid7(1_790_000_000_000, chance.getrandbits(74))


def _put(connection: apsw.Connection, kind: type[Row], rows: Iterator[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(kind.__struct_fields__))
    connection.executemany(f"INSERT INTO {BY_ROW[kind].name} VALUES (0, 0, {marks})", rows)


def _terms(
    chance: random.Random, customer: Customer, lists: Sequence[PriceList], goods: Sequence[Product]
) -> Iterator[Sequence[Row]]:
    """Where the customer is, by which segment it has its second list, its taxes, and offers for all and for some products."""
    segment = Segment(id=_id(chance), code="GOLD", name="Gold")
    yield [segment]
    yield [SegmentMember(id=_id(chance), customer_id=customer.id, segment_id=segment.id)]
    yield [
        PriceListAssignment(
            id=_id(chance), price_list_id=each.id, priority=0, exclusivity=Exclusivity.SHARED, segment_id=segment_id
        )
        for each, segment_id in ((lists[1], segment.id), (lists[2], None))
    ]
    yield [Address(id=_id(chance), customer_id=customer.id, label="", street="S", postal_code="1", city="C", country="DE")]
    codes = {"customer_tax_code": "standard", "product_tax_code": "standard"}
    yield [TaxRate(id=_id(chance), jurisdiction="DE", name="VAT", rate_ppm=190_000, **codes)]
    promotions = [_promotion(chance, number) for number in range(PROMOTIONS)]
    yield promotions
    yield [
        PromotionTarget(id=_id(chance), promotion_id=each.id, role=TargetRole.BUY, product_id=product.id)
        for each in promotions[1:]
        for product in chance.sample(goods, TARGETS_EACH)
    ]


def _promotion(chance: random.Random, number: int) -> Promotion:
    return Promotion(
        id=_id(chance),
        code=f"OFFER-{number}",
        name="Offer",
        phase=PromotionPhase.LINE,
        kind=PromotionKind.PERCENT,
        status=PromotionStatus.ACTIVE,
        priority=1,
        stacking=Stacking.STACKABLE,
        audience=Audience.EVERYONE,
        reach=Reach.TARGETS if number else Reach.ALL,
        value_basis_points=500,
        buy_quantity=3,
    )


def _entries(chance: random.Random, lists: Sequence[PriceList], goods: Sequence[Product]) -> Iterator[tuple[Any, ...]]:
    for place, price_list in enumerate(lists):
        for product in goods:
            base = chance.randint(100, 500_000) * 100
            for depth, least in enumerate(BREAKS):
                row_id = _id(chance).bytes
                yield row_id, price_list.id.bytes, product.id.bytes, least, base - base * (depth + place) // 100, 1, 0, None
