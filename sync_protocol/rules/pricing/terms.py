"""On which terms a customer buys, and how facts are looked up: asked for step by step, answered by whoever has the rows.

A gathering is a generator: it yields a `Lookup` and is sent the rows. The device answers from its replica, the server from its
tables, as they are or as they were at an earlier place of the log: what is looked up is said once, here and in `facts`.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

import msgspec

from sync_protocol.entities.customers import Address, Customer, SegmentMember, Territory
from sync_protocol.entities.pricing import CustomerPriceList, PriceList, PriceListAssignment
from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionAudience,
    PromotionCustomer,
    PromotionExclusion,
    PromotionKind,
    PromotionTier,
    PromotionUse,
)
from sync_protocol.entities.taxes import TaxExemption, TaxRate
from sync_protocol.values import Row


class Lookup(NamedTuple):
    """Rows of a kind whose columns are one of the keys; without columns the one key is empty, and all rows are meant."""

    row: type[Row]
    columns: tuple[str, ...]
    keys: tuple[tuple[Any, ...], ...]


Answer = TypeVar("Answer")


def gathered(gathering: Generator[Lookup, Sequence[Any], Answer], look_up: Callable[[Lookup], Sequence[Any]]) -> Answer:
    """Run a gathering to its end, each look-up answered by the given function."""
    try:
        lookup = next(gathering)
        while True:
            lookup = gathering.send(look_up(lookup))
    except StopIteration as end:
        return cast("Answer", end.value)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On which terms a customer buys, whatever it buys: one for each customer and state of the rows, at any instant."""

    customer: Customer
    territory: Territory | None
    addresses: tuple[Address, ...]
    members: tuple[SegmentMember, ...]
    customer_lists: tuple[CustomerPriceList, ...]
    assignments: tuple[PriceListAssignment, ...]
    lists: dict[UUID, PriceList]
    exemptions: tuple[TaxExemption, ...]
    rates: tuple[TaxRate, ...]
    promotions: tuple[Promotion, ...]
    tiers: dict[UUID, list[PromotionTier]]
    audiences: dict[UUID, list[PromotionAudience]]
    exclusions: frozenset[tuple[UUID, UUID]]
    listed_for: frozenset[UUID]
    uses: dict[UUID, int]


TermsGathering = Generator[Lookup, Sequence[Any], Terms]


def gather_terms(customer: Customer) -> TermsGathering:
    """The terms of a customer."""
    of_customer = ((customer.id,),)
    territories = (yield Lookup(Territory, ("id",), ((customer.territory_id,),))) if customer.territory_id else ()
    addresses = yield Lookup(Address, ("customer_id",), of_customer)
    members = yield Lookup(SegmentMember, ("customer_id",), of_customer)
    customer_lists = yield Lookup(CustomerPriceList, ("customer_id",), of_customer)
    territory = territories[0] if territories else None
    segments = {member.segment_id for member in members}
    assigned = yield Lookup(PriceListAssignment, (), ((),))
    assignments = tuple(each for each in assigned if is_claimed(each, segments, customer.territory_id))
    claimed = [each.price_list_id for each in (*customer_lists, *assignments)]
    claimed += [each.price_list_id for each in (customer, territory) if each is not None and each.price_list_id is not None]
    lists = yield Lookup(PriceList, ("id",), keys_of(claimed))
    exemptions = yield Lookup(TaxExemption, ("customer_id",), of_customer)
    rates = yield Lookup(TaxRate, ("jurisdiction",), keys_of(place for address in addresses for place in jurisdictions(address)))
    promotions = yield Lookup(Promotion, (), ((),))
    tiered = keys_of(each.id for each in promotions if each.kind is PromotionKind.VOLUME_TIERS)
    tiers = (yield Lookup(PromotionTier, ("promotion_id",), tiered)) if tiered else ()
    selective = keys_of(each.id for each in promotions if each.audience is Audience.LISTED)
    audiences = (yield Lookup(PromotionAudience, ("promotion_id",), selective)) if selective else ()
    listed = (yield Lookup(PromotionCustomer, ("customer_id",), of_customer)) if selective else ()
    exclusions = (yield Lookup(PromotionExclusion, (), ((),))) if promotions else ()
    counted = any(each.uses_per_customer is not None for each in promotions)
    uses = (yield Lookup(PromotionUse, ("customer_id",), of_customer)) if counted else ()
    return Terms(
        customer=customer,
        territory=territory,
        addresses=tuple(addresses),
        members=tuple(members),
        customer_lists=tuple(customer_lists),
        assignments=assignments,
        lists={each.id: each for each in lists},
        exemptions=tuple(exemptions),
        rates=tuple(rates),
        promotions=tuple(promotions),
        tiers=grouped(tiers, "promotion_id"),
        audiences=grouped(audiences, "promotion_id"),
        exclusions=frozenset(pair for each in exclusions for pair in _both_ways(each)),
        listed_for=frozenset(each.promotion_id for each in listed),
        uses={each.promotion_id: each.uses for each in uses},
    )


def jurisdictions(address: Address) -> tuple[str, ...]:
    """Where an address is, narrowest first (P-70)."""
    return (f"{address.country}-{address.region}", address.country) if address.region else (address.country,)


def is_claimed(assignment: PriceListAssignment, segments: set[UUID], territory_id: UUID | None) -> bool:
    """Whether an assignment may concern a customer, through some channel at some instant (P-10)."""
    fits = assignment.territory_id is None or assignment.territory_id == territory_id
    return fits and (assignment.segment_id is None or assignment.segment_id in segments)


def keys_of(values: Iterable[Any]) -> tuple[tuple[Any, ...], ...]:
    """Each value once, as a key of one column."""
    return tuple((each,) for each in dict.fromkeys(values))


def _both_ways(exclusion: PromotionExclusion) -> tuple[tuple[UUID, UUID], tuple[UUID, UUID]]:
    return (exclusion.promotion_id, exclusion.other_id), (exclusion.other_id, exclusion.promotion_id)


def grouped(rows: Iterable[Any], column: str) -> dict[UUID, list[Any]]:
    """Rows by the value of a column. Neighbours mostly have the same, and hashing a UUID is slow."""
    groups: dict[UUID, list[Any]] = {}
    group: list[Any] = []
    number = None
    for row in rows:
        value = getattr(row, column)
        if value.int != number:
            group = groups.setdefault(value, [])
            number = value.int
        group.append(row)
    return groups
