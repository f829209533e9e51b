"""A device made by hand, to send what no SDK would."""

from uuid import UUID

import msgspec

from client_sdk import NewCustomer
from sync_protocol.intents import CreateCustomer, Intent, RequestedLine, SubmitOrder
from sync_protocol.verdicts import Verdict
from sync_protocol.wire.codec import decode_verdict, digest, encode
from sync_protocol.wire.messages import Enrolment, EnrolRequest, IntentEnvelope, PushRequest, PushResult, PushStatus
from sync_protocol.wire.version import PROTOCOL_VERSION, RULES_VERSION
from tests.support.world import World


class Handmade:
    """An enrolled device with its incarnation, and nothing else."""

    def __init__(self, world: World, enrolment: Enrolment) -> None:
        self.world = world
        self.enrolment = enrolment
        self.endpoint = world.endpoint(enrolment.token)
        self.incarnation = enrolment.incarnation

    @classmethod
    async def of(cls, world: World, login: str = "rep0") -> "Handmade":
        code = await world.code_for(login)
        request = EnrolRequest(protocol_version=PROTOCOL_VERSION, code=code, device_name="wire")
        return cls(world, await world.endpoint().enrol(request))

    def number(self, count: int) -> str:
        return f"{self.enrolment.number_prefix}-{count:06d}"

    def order(self, count: int, customer: int = 0, *lines: tuple[int, int], **changed: object) -> SubmitOrder:
        asked = SubmitOrder(
            order_id=self.world.ids.new(),
            number=self.number(count),
            customer_id=self.world.company.customers[customer].id,
            currency="EUR",
            lines=tuple(
                RequestedLine(
                    line_id=self.world.ids.new(),
                    product_id=self.world.company.products[product].id,
                    quantity=quantity,
                    unit_price=(product + 1) * 10_000,
                )
                for product, quantity in lines or [(0, 1)]
            ),
        )
        return msgspec.structs.replace(asked, **changed)

    def envelope(self, intent: Intent | bytes, kind: str = "SubmitOrder") -> IntentEnvelope:
        body = intent if isinstance(intent, bytes) else encode(intent)
        return IntentEnvelope(
            id=self.world.ids.new(),
            kind=kind if isinstance(intent, bytes) else type(intent).__name__,
            schema_version=intent.schema_version if isinstance(intent, Intent) else 1,
            body=body,
            digest=digest(body),
            captured_at_ms=self.world.clock.now_ms(),
            time_zone="Europe/Amsterdam",
            clock_skew_ms=0,
            decided_at_cursor=0,
            rules_version=RULES_VERSION,
        )

    async def push(self, *envelopes: IntentEnvelope) -> list[PushResult]:
        following = self.world.ids.token()
        request = PushRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=self.enrolment.device_id,
            incarnation=self.incarnation,
            next_incarnation=following,
            epoch=None,
            intents=envelopes,
        )
        reply = await self.endpoint.push(request)
        self.incarnation = following
        return list(reply.results)

    async def ask(self, intent: Intent | bytes) -> Verdict:
        (result,) = await self.push(self.envelope(intent))
        assert result.status is PushStatus.DECIDED, result.detail
        return decode_verdict(result.verdict)


def prospect_of(world: World, **changed: object) -> CreateCustomer:
    asked = CreateCustomer(
        customer_id=world.ids.new(),
        address_id=world.ids.new(),
        contact_id=world.ids.new(),
        territory_id=world.company.territories[0].id,
        name="New & Co",
        street="S",
        postal_code="1",
        city="C",
        country="NL",
        contact_name="N",
    )
    return msgspec.structs.replace(asked, **changed)


def broken_bodies(device: Handmade) -> dict[str, bytes]:
    good = msgspec.to_builtins(device.order(1), builtin_types=(bytes, UUID))
    line = good["lines"][0]
    return {
        "garbage": b"\xc1\xff",
        "nothing": b"",
        "cut off": encode(good)[:-3],
        "unknown intent": encode(good | {"intent": "DeleteEverything"}),
        "unknown field": encode(good | {"discount": 100}),
        "unknown field of a line": encode(good | {"lines": [line | {"amount_minor": 0}]}),
        "missing field": encode({name: value for name, value in good.items() if name != "currency"}),
        "no lines": encode(good | {"lines": []}),
        "quantity of nothing": encode(good | {"lines": [line | {"quantity": 0}]}),
        "quantity below nothing": encode(good | {"lines": [line | {"quantity": -5}]}),
        "quantity as a float": encode(good | {"lines": [line | {"quantity": 1.0}]}),
        "quantity as a text": encode(good | {"lines": [line | {"quantity": "1"}]}),
        "price below nothing": encode(good | {"lines": [line | {"unit_price": -1}]}),
        "control characters": encode(good | {"note": "a\0b"}),
    }


def new_customer(world: World) -> NewCustomer:
    """A prospect of territory 0, as a user enters it."""
    territory = world.company.territories[0].id
    return NewCustomer(name="N", street="S", postal_code="1", city="C", country="NL", contact_name="N", territory_id=territory)
