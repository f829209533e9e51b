"""Document numbers: made offline from a prefix that is leased to one device for ever, unique whatever happens to it."""

from uuid import UUID

import sqlalchemy as sa

from server.orders.models import NumberSeriesModel, OrderModel
from server.runtime.database import ReadSession


def prefix_of(number: str) -> str:
    """`R17` of `R17-000123`."""
    return number.partition("-")[0]


async def is_leased_to(session: ReadSession, number: str, holder_id: UUID) -> bool:
    """Whether a number is from a series that this rep or user ever held, on this device or one before it.

    One that is not comes from a device that the server forgot when it was restored; the order gets a number of its own.
    """
    held = sa.exists().where(NumberSeriesModel.prefix == prefix_of(number), NumberSeriesModel.holder_id == holder_id)
    return bool((await session.execute(sa.select(held))).scalar_one())


async def free_number(session: ReadSession, wanted: str) -> str:
    """`wanted`, or, where a restored device has used it twice, the same with the first free `-2`, `-3`, …"""
    taken = set(
        (
            await session.execute(
                sa.select(OrderModel.number).where(
                    sa.or_(OrderModel.number == wanted, OrderModel.number.startswith(f"{wanted}-", autoescape=True))
                )
            )
        ).scalars()
    )
    candidate, copy = wanted, 1
    while candidate in taken:
        copy += 1
        candidate = f"{wanted}-{copy}"
    return candidate
