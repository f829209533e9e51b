"""Document numbers: made offline from a prefix that is leased to one device for ever, unique whatever happens to it."""

from typing import TypeVar
from uuid import UUID

from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.orders import NumberSeries, Order
from sync_protocol.entities.quotes import NegotiatedQuote

D = TypeVar("D", bound=Order | NegotiatedQuote)


def prefix_of(number: str) -> str:
    """`R17` of `R17-000123`."""
    return number.partition("-")[0]


async def is_leased_to(work: UnitOfWork, number: str, holder_id: UUID) -> bool:
    """Whether a number is from a series that this rep or user ever held, on this device or one before it.

    One that is not comes from a device that the server forgot when it was restored; the document gets a number of its own.
    """
    return any(series.holder_id == holder_id for series in await work.find(NumberSeries, prefix=prefix_of(number)))


async def free_number(work: UnitOfWork, kind: type[D], wanted: str) -> str:
    """`wanted`, or, where a restored device has used it twice, the same with the first free `-2`, `-3`, …"""
    candidate, copy = wanted, 1
    while await work.find(kind, number=candidate):
        copy += 1
        candidate = f"{wanted}-{copy}"
    return candidate
