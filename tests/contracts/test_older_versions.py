"""Nothing reaches a device of an older protocol version that its version does not know."""

import hashlib
import typing
from collections.abc import Iterator
from contextlib import nullcontext
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.entities import BY_ROW, SYNCED
from sync_protocol.entities.orders import Channel, Order, OrderStatus
from sync_protocol.intents import INTENTS, AmendOrder, RequestedLine
from sync_protocol.upcasts import EARLIER
from sync_protocol.verdicts import FALLBACKS, PRECEDENCE, SINCE, Change, Code, Outcome, Verdict, codes_told
from sync_protocol.wire import messages
from sync_protocol.wire.codec import WireError, columns, decode_intent, digest, encode, intent_of, rows_for, stored_values
from sync_protocol.wire.version import OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION
from tests.support.strategies import instances

# What version 1 knew, written down when it was the newest. It is never edited: what is newer names its version.
KNOWN_TO_1 = {
    "Channel": "rep buyer online",
    "CustomerStatus": "prospect active on_hold closed",
    "Code": (
        "quarantined malformed not_permitted dependency_refused unknown_territory customer_exists unknown_customer "
        "customer_closed order_exists unknown_order order_state_forbids order_changed_meanwhile unknown_address "
        "unknown_product product_discontinued no_price currency_differs total_too_large customer_on_hold "
        "customer_is_prospect above_review_limit number_changed price_changed backordered"
    ),
    "OrderStatus": "draft submitted held confirmed completed refused cancelled",
    "Outcome": "accepted accepted_with_changes held rejected",
    "ProductStatus": "active discontinued",
    "PushStatus": "decided deferred conflict",
    "ResyncReason": "epoch_changed cursor_ahead below_retention",
}
# What came with version 3, whose enumerations are in its entities and columns alone. Another value names another version.
KNOWN_TO_3 = {
    "AgreementSource": "quote contract",
    "Audience": "everyone listed",
    "Exclusivity": "shared exclusive",
    "PriceSource": "quote contract location customer segment channel base manual gift",
    "PromotionKind": "percent amount fixed_price volume_tiers buy_x_get_y free_goods bundle",
    "PromotionPhase": "line order freight",
    "PromotionStatus": "active paused",
    "QuoteStatus": "requested offered countered accepted ordered refused withdrawn expired",
    "Reach": "all targets",
    "Stacking": "stackable alone",
    "Strength": "required recommended",
    "TargetRole": "buy get gift part",
    "TaxTreatment": "exclusive inclusive",
}
EARLIER_SCHEMAS = "85df5164ff84b9cbb8245bfa4fc77168"
LAST_HOLD = PRECEDENCE[Code.ROUTED]
every_newer_code = pytest.mark.parametrize("code", SINCE, ids=str)


def enums_of(kind: Any) -> Iterator[type[StrEnum]]:
    """The enumerations that a type is made of, at any depth."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        yield kind
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield from enums_of(field.type)
    for part in typing.get_args(kind):
        yield from enums_of(part)


def travelling() -> dict[str, type[StrEnum]]:
    types = [*(synced.row for synced in SYNCED), *INTENTS, Verdict, *messages.MESSAGES]
    return {each.__name__: each for kind in types for each in enums_of(kind)}


def effect(code: Code) -> str:
    """What a code means for the order: no, wait, or a change."""
    if PRECEDENCE[code] <= PRECEDENCE[Code.TOTAL_TOO_LARGE]:
        return "rejected"
    return "held" if PRECEDENCE[code] <= LAST_HOLD else "changed"


def test_every_value_that_travels_is_known_to_version_1_or_names_the_version_that_brought_it() -> None:
    assert travelling().keys() == KNOWN_TO_1.keys() | KNOWN_TO_3.keys()
    for name, kind in travelling().items():
        known = set((KNOWN_TO_1 | KNOWN_TO_3)[name].split())
        assert known <= {str(member) for member in kind}, "what a version knew stays"
        newer = {member for member in kind if str(member) not in known}
        assert newer == (set(SINCE) if kind is Code else set()), (
            f"{name}: a value that version 1 does not know stops the sync of its devices. Give a code its version in SINCE and "
            "a fallback; another value must not be sent to them at all."
        )


def test_an_enumeration_that_came_with_version_3_is_in_what_older_devices_are_not_sent() -> None:
    for version in range(OLDEST_PROTOCOL_SERVED, 3):
        sent = [synced for synced in SYNCED if synced.since_protocol <= version]
        told = {(synced.row, name) for synced in sent for name in columns(synced, version)}
        fields = [field for synced in sent for field in msgspec.structs.fields(synced.row) if (synced.row, field.name) in told]
        types = [*(field.type for field in fields), *INTENTS, Verdict, *messages.MESSAGES]
        assert {each.__name__ for kind in types for each in enums_of(kind)} == KNOWN_TO_1.keys()


@every_newer_code
def test_a_newer_code_names_a_version_and_an_older_code_of_the_same_effect(code: Code) -> None:
    assert OLDEST_PROTOCOL_SERVED < SINCE[code] <= PROTOCOL_VERSION
    assert SINCE.get(FALLBACKS[code], 1) < SINCE[code]
    assert effect(FALLBACKS[code]) == effect(code)


@every_newer_code
def test_an_older_device_is_told_only_codes_that_it_knows(code: Code) -> None:
    verdict = Verdict(
        intent_id=UUID(int=1),
        outcome=Outcome.REJECTED,
        decided_at_ms=1,
        codes=(code, Code.BACKORDERED),
        changes=(Change(code=code), Change(code=Code.BACKORDERED, before=2, after=1)),
        detail="as it was",
    )
    told = verdict.for_protocol(SINCE[code] - 1)
    fallback = FALLBACKS[code]
    assert told.codes == (fallback, Code.BACKORDERED)
    assert [change.code for change in told.changes] == [fallback, Code.BACKORDERED]
    assert msgspec.structs.replace(told, codes=verdict.codes, changes=verdict.changes) == verdict
    assert verdict.for_protocol(SINCE[code]) is verdict


def test_codes_that_become_one_for_an_older_device_are_told_once_and_in_order() -> None:
    codes = (Code.CUSTOMER_ON_HOLD, Code.ABOVE_REVIEW_LIMIT, Code.ROUTED)
    verdict = Verdict(intent_id=UUID(int=1), outcome=Outcome.HELD, decided_at_ms=1, codes=codes)
    assert verdict.for_protocol(1).codes == codes[:2]


def test_a_row_that_carries_a_newer_code_carries_an_older_one_to_an_older_device() -> None:
    order = Order(
        id=UUID(int=1),
        number="R1-000001",
        customer_id=UUID(int=2),
        status=OrderStatus.HELD,
        channel=Channel.REP,
        currency="EUR",
        captured_at_ms=1,
        time_zone="UTC",
        received_at_ms=1,
        subtotal_minor=1,
        tax_minor=0,
        freight_minor=0,
        total_minor=1,
        hold_code=str(Code.ROUTED),
        reason=str(Code.ROUTED),
    )
    synced = BY_ROW[Order]
    for version in range(OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION + 1):
        names = columns(synced, version)
        values = {"commit_seq": 7, **dict(zip(order.__struct_fields__, stored_values(order), strict=True))}
        row = tuple(values.get(name, 0) for name in names)
        told = dict(zip(names, rows_for(synced, [row], version)[0], strict=True))
        assert told.pop("hold_code") == codes_told(version).get(Code.ROUTED, Code.ROUTED)
        assert told == {name: value for name, value in zip(names, row, strict=True) if name != "hold_code"}


def test_every_earlier_schema_of_an_intent_has_its_step_to_the_next() -> None:
    earlier = {(intent.__name__, version) for intent in INTENTS for version in range(1, intent.schema_version)}
    assert set(EARLIER) == earlier


def test_an_earlier_schema_is_never_edited() -> None:
    _, components = msgspec.json.schema_components([each.fields for each in EARLIER.values()], ref_template="{name}")
    canonical = msgspec.json.encode(components, order="deterministic")
    assert hashlib.blake2b(canonical, digest_size=16).hexdigest() == EARLIER_SCHEMAS, "make another version and a step to it"


@pytest.mark.parametrize(("kind", "version"), EARLIER, ids=str)
@given(data=st.data())
def test_an_intent_of_an_earlier_schema_is_read_as_it_was_written_and_as_one_of_today(
    kind: str, version: int, data: st.DataObject
) -> None:
    written = data.draw(instances(EARLIER[kind, version].fields))
    said = intent_of(enveloped(kind, version, encode(written)))
    assert type(said).__name__ == kind
    assert decode_intent(encode(said)) == said
    assert _fields_with_values(said) == _fields_with_values(written)


def _fields_with_values(intent: msgspec.Struct) -> dict[str, Any]:
    """What an intent says, its lines too; a default says nothing."""
    said = {name: value for name, value in msgspec.structs.asdict(intent).items() if value}
    first = ("line_id", "product_id", "quantity", "unit_price")
    for line in said.get("lines", ()):
        later = [each for each in msgspec.structs.fields(type(line)) if each.name not in first]
        assert all(getattr(line, each.name) == each.default for each in later)
    said["lines"] = [[getattr(line, name) for name in first] for line in said.get("lines", ())]
    return said


@pytest.mark.parametrize(
    ("changed", "is_read"),
    [({"note": ""}, True), ({"note": None}, False), ({"discount": 1}, False), ({"intent": "CancelOrder"}, False)],
)
def test_an_intent_of_an_earlier_schema_is_held_to_the_strictness_of_its_time(*, changed: dict[str, Any], is_read: bool) -> None:
    line = {"line_id": b"1" * 16, "product_id": b"2" * 16, "quantity": 1, "unit_price": 1}
    body = {"intent": "AmendOrder", "order_id": b"3" * 16, "revision": 0, "lines": [line], **changed}
    with nullcontext() if is_read else pytest.raises(WireError):
        assert intent_of(enveloped("AmendOrder", 1, encode(body))) == AmendOrder(
            order_id=UUID(bytes=b"3" * 16),
            revision=0,
            lines=(RequestedLine(line_id=UUID(bytes=b"1" * 16), product_id=UUID(bytes=b"2" * 16), quantity=1, unit_price=1),),
            note=None,
        )


def enveloped(kind: str, version: int, body: bytes) -> messages.IntentEnvelope:
    return messages.IntentEnvelope(
        id=UUID(int=1),
        kind=kind,
        schema_version=version,
        body=body,
        digest=digest(body),
        captured_at_ms=1,
        time_zone="UTC",
        clock_skew_ms=None,
        decided_at_cursor=0,
        rules_version=1,
    )
