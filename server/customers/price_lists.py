"""Which price lists come with customers and territories, in SQL for both engines: what somebody may hold follows from it.

When a row is valid does not matter: what is to hold later travels ahead. Tables of the slice of prices, which stands above
this one, are only named.
"""

from collections.abc import Iterable
from typing import Final

from sync_protocol.entities.orders import Channel

CHANNELS_OF_REPS: Final[tuple[Channel, ...]] = (Channel.REP,)
CHANNELS_OF_BUYERS: Final[tuple[Channel, ...]] = (Channel.BUYER, Channel.ONLINE)


def lists_sql(customers: str, territories: str, channels: Iterable[Channel]) -> str:
    """The lists of the customers `c` and the territories `t` of these conditions, and of assignments that can concern them.

    Of what an assignment names all must fit: the channel, and the territory; or where it is for a segment, that of one of the
    customers in the segment. One that names nothing is for everyone.
    """
    fits = f"(p.channel IS NULL OR p.channel IN ({', '.join(repr(str(channel)) for channel in channels)}))"
    return f"""
        WITH held AS (SELECT c.id, c.territory_id, c.price_list_id FROM customer c WHERE {customers}),
             worked AS (SELECT t.id, t.price_list_id FROM territory t WHERE {territories}),
             grouped AS (SELECT DISTINCT m.segment_id, held.territory_id FROM held JOIN segment_member m ON m.customer_id = held.id)
        SELECT price_list_id FROM held WHERE price_list_id IS NOT NULL
        UNION SELECT price_list_id FROM worked WHERE price_list_id IS NOT NULL
        UNION SELECT l.price_list_id FROM held JOIN customer_price_list l ON l.customer_id = held.id
        UNION SELECT p.price_list_id FROM price_list_assignment p
               WHERE p.segment_id IS NULL AND (p.territory_id IS NULL OR p.territory_id IN (SELECT id FROM worked)) AND {fits}
        UNION SELECT p.price_list_id FROM grouped JOIN price_list_assignment p ON p.segment_id = grouped.segment_id
               WHERE (p.territory_id IS NULL OR p.territory_id = grouped.territory_id) AND {fits}
    """  # noqa: S608  # conditions of ours, and no input
