"""On which terms customers buy, kept from one price to the next, for exactly as long as no row of the replica has changed.

The terms of a customer are twenty look-ups, and the same for each line that is entered. Each act that changes a row, of the
replica or of the overlay, ends in `overlay`, which writes a new token into the replica's own file: who reads the same token
in the same snapshot sees the same rows, whoever has written them. What was rolled back leaves a token that never comes back.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

import apsw

from client_sdk.state import rows_token
from sync_protocol.rules.pricing.terms import Terms

CUSTOMERS_KEPT_MAX: Final = 16


class _Kept:
    """The terms of those customers that were asked for last, by the rows of one token."""

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.terms: OrderedDict[UUID, Terms] = OrderedDict()


_kept: WeakKeyDictionary[apsw.Connection, _Kept] = WeakKeyDictionary()


def kept_terms(connection: apsw.Connection, customer_id: UUID, gather: Callable[[], Terms | None]) -> Terms | None:
    """What `gather` says by the rows that this connection sees now. It is asked where that is not known; None is not kept."""
    token = rows_token(connection)
    if token is None:  # a replica that nothing was laid on yet
        return gather()
    kept = _kept.get(connection)
    if kept is None or kept.token != token:
        kept = _kept[connection] = _Kept(token)
    terms = kept.terms.get(customer_id)
    if terms is None:
        terms = gather()
        if terms is not None:
            kept.terms[customer_id] = terms
            if len(kept.terms) > CUSTOMERS_KEPT_MAX:
                kept.terms.popitem(last=False)
    else:
        kept.terms.move_to_end(customer_id)
    return terms
