"""Devices whose app is of protocol 1, to the end or until they are updated, with what waits in their outbox.

There is no such app any more: it is today's, which asks as that one did, gets the answers that it got, is refused what it
never asked for, and whose orders and amendments are put into its outbox as it wrote them.
"""

from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import httpx2
import msgspec

from sync_protocol.wire.codec import DIGEST_HEADER, decode, digest, encode
from sync_protocol.wire.messages import EnrolRequest, ForkRequest, IntentEnvelope, PullRequest, PushRequest
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.simulation.damage import Condition
from tests.simulation.device import open_as_another
from tests.simulation.network import Answer, Network
from tests.simulation.plan import Step

if TYPE_CHECKING:
    from tests.simulation.device import Life
    from tests.simulation.handset import Handset
    from tests.simulation.world import SimulatedWorld

FIRST: Final = 1
TODAY: Final = PROTOCOL_VERSION
_FIRST_SCHEMA: Final = 1
_FIRST_LINE: Final = ("line_id", "product_id", "quantity", "unit_price")
_FIRST_FIELDS: Final = {
    "SubmitOrder": ("intent", "order_id", "number", "customer_id", "currency", "address_id", "purchase_order_number"),
    "AmendOrder": ("intent", "order_id", "revision"),
}
"""What such an app wrote of an order besides its lines, which had prices without a proof, and its note."""
_ASKED: Final[dict[str, Any]] = {
    "/sync/enrol": EnrolRequest,
    "/sync/fork": ForkRequest,
    "/sync/push": PushRequest,
    "/sync/pull": PullRequest,
}
_NOT_THERE: Final = Answer(
    404, [(b"content-type", b"application/problem+json")], b'{"code": "not_found", "detail": "no such path"}'
)
_TOLD: Final = {
    "too_old": "malformed",
    "handed_over": "not_permitted",
    "routed": "customer_on_hold",
    **dict.fromkeys(("quantity_not_sold", "order_below_minimum"), "no_price"),
    **dict.fromkeys(("manual_price_above_limit", "below_floor", "price_to_approve"), "above_review_limit"),
    **dict.fromkeys(("amount_changed", "tax_changed", "gifts_changed", "price_honoured"), "price_changed"),
    "quote_exists": "order_exists",
    "unknown_quote": "unknown_order",
    "quote_state_forbids": "order_state_forbids",
    "quote_changed_meanwhile": "order_changed_meanwhile",
    "quote_expired": "above_review_limit",
}
"""What a device of protocol 1 is told in place of a code that came later."""
_FIRST_TABLES: Final = frozenset(
    {
        *("unit", "category", "product", "pack", "stock_location", "price_list", "price_entry", "territory", "rep", "customer"),
        *("address", "contact", "stock_level", "sales_order", "sales_order_line", "number_series"),
    }
)
"""The tables that such a device is told of."""
_LATER_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "product": {"tax_code": "standard"},
    "customer": {"tax_code": "standard"},
    "price_entry": {"per_quantity": 1, "valid_from_ms": 0, "valid_until_ms": None},
    "price_list": {
        "tax_treatment": "exclusive",
        "valid_from_ms": 0,
        "valid_until_ms": None,
        "strength": "required",
        **dict.fromkeys(("minimum_quantity", "multiple_quantity", "pack_quantity", "order_minimum_minor")),
    },
    "sales_order": {"priced_at_ms": 0},
    "sales_order_line": {
        "per_quantity": 1,
        "discount_minor": 0,
        "order_discount_minor": 0,
        "tax_minor": 0,
        "tax_rate_ppm": 0,
        "tax_code": "",
        "tax_jurisdiction": "",
        **dict.fromkeys(("price_source", "price_rule_id", "promotion_id", "quoted_unit_price", "quoted_amount_minor")),
    },
}
"""Columns that it is not told of, with what its app of today has in their place."""


class OlderWire(httpx2.AsyncBaseTransport):
    """The transport of such a device."""

    def __init__(self, network: Network, life: "Life") -> None:
        self._network, self._life = network, life

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path not in _ASKED:
            return httpx2.Response(_NOT_THERE.status, headers=_NOT_THERE.headers, content=_NOT_THERE.body)
        before = await request.aread()
        message = decode(before, _ASKED[path])
        body = encode(msgspec.structs.replace(message, protocol_version=FIRST))
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        headers[DIGEST_HEADER.lower()] = digest(body).hex()
        asked = httpx2.Request(request.method, request.url, headers=headers, content=body)
        answer = await self._network.carry(asked, self._life)
        told = {digest(body).hex().encode(): digest(before).hex().encode()}
        given = [(name, told.get(value, value)) for name, value in answer.headers]
        return httpx2.Response(answer.status, headers=given, content=answer.body)


def write_as_it_did(handset: "Handset") -> None:
    """Let the orders and amendments in the outbox be of the first schema: no proofs, and no way to take a note back."""
    with closing(open_as_another(handset.folder / "tablet.db")) as connection:
        for sequence, stored in connection.execute("SELECT sequence, envelope FROM outbox").fetchall():
            envelope = decode(stored, IntentEnvelope)
            if envelope.schema_version != _FIRST_SCHEMA:
                body = _in_first_schema(envelope)
                older = msgspec.structs.replace(envelope, schema_version=_FIRST_SCHEMA, body=body, digest=digest(body))
                connection.execute("UPDATE outbox SET envelope = ? WHERE sequence = ?", (encode(older), sequence))


def _in_first_schema(envelope: IntentEnvelope) -> bytes:
    asked = msgspec.msgpack.decode(envelope.body)
    kept = {name: asked[name] for name in _FIRST_FIELDS[envelope.kind] if name in asked}
    lines = [{name: line[name] for name in _FIRST_LINE} for line in asked["lines"]]
    return encode(kept | {"lines": lines, "note": asked.get("note") or ""})


def is_same_verdict(one: bytes, other: bytes) -> bool:
    """Whether two verdicts are the same in the words of protocol 1."""
    return one == other or _in_first_words(one) == _in_first_words(other)


def _in_first_words(verdict: bytes) -> dict[str, Any]:
    said = msgspec.msgpack.decode(verdict)
    codes = {_TOLD.get(code, code) for code in said.get("codes", ())}
    changes = [{**change, "code": _TOLD.get(change["code"], change["code"])} for change in said.get("changes", ())]
    return said | {"codes": codes, "changes": changes}


def knows_all(codes: Iterable[str]) -> bool:
    """Whether such a device knows these codes."""
    return _TOLD.keys().isdisjoint(codes)


def in_first_words(table: str, places: dict[str, int], rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of a table as such a device has them; `places` are where its columns stand."""
    if table not in _FIRST_TABLES:
        return []
    untold = {places[name]: value for name, value in _LATER_COLUMNS.get(table, {}).items()}
    told = [tuple(untold.get(place, value) for place, value in enumerate(row)) for row in rows] if untold else rows
    if table != "sales_order":
        return told
    place = places["hold_code"]
    return [(*row[:place], _TOLD.get(row[place], row[place]), *row[place + 1 :]) for row in told]


async def update_app(world: "SimulatedWorld", handset: "Handset", step: Step) -> None:
    """The app of today is installed. It cannot read the old replica, as a rule: all but what waits comes anew."""
    if handset.protocol_version == TODAY or handset.client is None:
        return
    waits = handset.query("SELECT 1 FROM outbox")
    handset.switch_off()
    handset.protocol_version = TODAY
    if step.pick(0, 3):
        for file in sorted(handset.folder.glob("tablet.db-replica-*")):
            file.unlink()
        handset.lost_replica()
        handset.condition = Condition(excused=world.sums_are_spoiled)
    await handset.switch_on()
    world.trace.saw("device: updated with a queue" if waits else "device: updated")
    if step.pick(1, 2):
        await handset.sync()
