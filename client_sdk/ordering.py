"""What a user asks for besides drafts: an amendment, a cancellation, a prospect."""

from uuid import UUID

import apsw
import msgspec

from client_sdk import catalog, draft_view, outbox
from client_sdk.clock import Surroundings
from client_sdk.draft_view import DraftView
from client_sdk.errors import OrderStateError
from client_sdk.state import require_identity
from client_sdk.submitting import priced_lines, quoted_lines
from client_sdk.wanted import WantedLine
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.intents import AmendOrder, CancelOrder, CreateCustomer
from sync_protocol.rules.order_states import Actor, may_amend, may_move
from sync_protocol.rules.proofs import quoted_gifts
from sync_protocol.values import normal_text


class NewCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A prospect: `country` is ISO 3166-1 alpha-2, `territory_id` one of the rep's own."""

    name: str
    street: str
    postal_code: str
    city: str
    country: str
    contact_name: str
    territory_id: UUID
    email: str = ""
    phone: str = ""
    note: str = ""


def all_drafts(connection: apsw.Connection, surroundings: Surroundings) -> list[DraftView]:
    """Every draft that can be edited."""
    return [draft_view.view(connection, order_id, surroundings) for order_id in draft_view.all_ids(connection)]


def amend(
    connection: apsw.Connection, order_id: UUID, lines: list[WantedLine], note: str | None, surroundings: Surroundings
) -> None:
    """Ask for other lines. Raises OrderStateError, and what `priced_lines` raises."""
    require_identity(connection)
    shown = catalog.order(connection, order_id).order
    if not (shown.status is OrderStatus.SUBMITTED or may_amend(shown.status)):
        raise OrderStateError(shown.number, shown.status)
    priced = priced_lines(connection, shown, lines, surroundings)
    intent = AmendOrder(
        order_id=order_id,
        revision=shown.revision,
        lines=quoted_lines(priced, [line.manual for line in lines]),
        note=note if note is None else normal_text(note),
        gifts=quoted_gifts(priced),
        priced_at_ms=priced.instant_ms,
    )
    outbox.enqueue(connection, intent, surroundings)


def cancel(connection: apsw.Connection, order_id: UUID, reason: str, surroundings: Surroundings) -> None:
    """Ask for a cancellation. Raises UnknownRowError, OrderStateError, InvalidEntryError."""
    require_identity(connection)
    shown = catalog.order(connection, order_id).order
    if not may_move(Actor.CAPTURER, shown.status, OrderStatus.CANCELLED):
        raise OrderStateError(shown.number, shown.status)
    outbox.enqueue(connection, CancelOrder(order_id=order_id, reason=normal_text(reason)), surroundings)


def create_customer(connection: apsw.Connection, new: NewCustomer, surroundings: Surroundings) -> UUID:
    """Take a prospect; returns its id. Raises InvalidEntryError, NotEnrolledError."""
    require_identity(connection)
    ids = surroundings.ids
    texts = {name: normal_text(value) for name, value in msgspec.structs.asdict(new).items() if isinstance(value, str)}
    intent = CreateCustomer(
        customer_id=ids.new(), address_id=ids.new(), contact_id=ids.new(), territory_id=new.territory_id, **texts
    )
    outbox.enqueue(connection, intent, surroundings)
    return intent.customer_id
