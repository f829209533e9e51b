"""`roadbook quarantine` and `roadbook devices show` at the server's terminal."""

import asyncio
import json
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from server.__main__ import main
from server.identity.devices import RevocationReason, revoke_device
from server.identity.service import device_of_token
from server.sync.endpoint import ServerEndpoint
from sync_protocol.intents import RequestedLine, SubmitOrder
from sync_protocol.wire.codec import digest, encode
from sync_protocol.wire.messages import DeviceReport, EnrolRequest, IntentEnvelope, PurgeReceipt, PushRequest, StallReport
from sync_protocol.wire.version import PROTOCOL_VERSION, RULES_VERSION
from tests.support.databases import open_database
from tests.support.world import World

NUMBERS = (1, 2)


class Left:
    """A company whose first rep left, with two orders that its device sent afterwards."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self.intents: list[str] = []
        self.device_id = UUID(int=0)
        asyncio.run(self._leave())

    async def _leave(self) -> None:
        database = open_database(self.database_url)
        world = await World.found(database)
        asked = EnrolRequest(protocol_version=PROTOCOL_VERSION, code=await world.code_for("rep0"), device_name="Tablet")
        enrolment = await world.endpoint().enrol(asked)
        self.device_id = enrolment.device_id
        endpoint = world.endpoint(enrolment.token)
        assert isinstance(endpoint, ServerEndpoint)
        common = {"protocol_version": PROTOCOL_VERSION, "device_id": enrolment.device_id, "incarnation": enrolment.incarnation}
        stall = StallReport(code="server_unreachable", detail="no network", since_ms=world.clock.now_ms())
        receipt = PurgeReceipt(
            id=world.ids.new(), bucket="catalog", rows=4, checksum=5, purged_at_cursor=6, purged_at_ms=world.clock.now_ms()
        )
        said = DeviceReport(**common, epoch=None, cursor=1, outbox_count=2, receipts=(receipt,), problem=stall)
        await endpoint.report(said)
        async with database.write() as session:
            await revoke_device(session, enrolment.device_id, RevocationReason.LEFT, world.clock.now_ms())
            assert await device_of_token(session, enrolment.token) is not None
        envelopes = tuple(self._order(world, enrolment.number_prefix, number) for number in NUMBERS)
        await endpoint.push(PushRequest(**common, next_incarnation=world.ids.token(), epoch=None, intents=envelopes))
        self.intents = [str(envelope.id) for envelope in envelopes]
        await database.close()

    @staticmethod
    def _order(world: World, prefix: str, number: int) -> IntentEnvelope:
        world.clock.advance(1)
        company = world.company
        line = RequestedLine(line_id=world.ids.new(), product_id=company.products[0].id, quantity=1, unit_price=10_000)
        intent = SubmitOrder(
            order_id=world.ids.new(),
            number=f"{prefix}-{number:06d}",
            customer_id=company.customers[0].id,
            currency="EUR",
            lines=(line,),
        )
        body = encode(intent)
        return IntentEnvelope(
            id=world.ids.new(),
            kind="SubmitOrder",
            schema_version=SubmitOrder.schema_version,
            body=body,
            digest=digest(body),
            captured_at_ms=world.clock.now_ms(),
            time_zone="UTC",
            clock_skew_ms=0,
            decided_at_cursor=0,
            rules_version=RULES_VERSION,
            lanes=intent.lanes(),
        )

    def roadbook(self, *words: str) -> Result:
        return CliRunner().invoke(main, words, env={"ROADBOOK_DATABASE_URL": self.database_url})


@pytest.fixture
def left(sqlite_database_url: str) -> Left:
    return Left(sqlite_database_url)


def test_what_a_leaver_sent_is_listed_released_and_discarded(left: Left) -> None:
    shown = left.roadbook("quarantine", "list").output
    assert "R1-000001" in shown
    assert "waiting" in shown
    first, second = left.intents
    early = left.roadbook("quarantine", "release", second, "--as-rep", "REP0", "--reason", "agreed")
    assert (early.exit_code, first in early.output) == (1, True), "both are of one customer: the first goes first"
    released = left.roadbook("quarantine", "release", first, "--as-rep", "REP0", "--reason", "agreed", "--json")
    assert [each["outcome"] for each in json.loads(released.output)] == ["accepted"], released.output
    assert left.roadbook("quarantine", "discard", second, "--reason", "fraud").output == "1 discarded\n"
    assert json.loads(left.roadbook("quarantine", "list", "--json").output) == []
    decided = json.loads(left.roadbook("quarantine", "list", "--decided", "--json").output)
    assert [(each["state"], each["reason"]) for each in decided] == [("released", "agreed"), ("discarded", "fraud")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("release", "INTENT", "--as-rep", "REP9", "--reason", "x"), "--as-rep names no rep"),
        (("release", "INTENT", "--as-rep", "REP1", "--reason", "x"), "Error: --as-rep names a rep who may not ask for"),
        (("release", "INTENT", "--as-rep", "REP0", "--reason", " "), "Error: --reason is empty"),
        (("discard", "00000000-0000-0000-0000-000000000000", "--reason", "x"), f"Error: INTENT_ID {UUID(int=0)} is not in"),
    ],
)
def test_nonsense_is_one_line_that_says_what_to_do(left: Left, words: tuple[str, ...], said: str) -> None:
    ended = left.roadbook("quarantine", *(left.intents[0] if word == "INTENT" else word for word in words))
    assert ended.exit_code == 1
    assert said in ended.output


def test_a_device_shows_what_it_said_of_itself(left: Left) -> None:
    shown = left.roadbook("devices", "show", str(left.device_id)).output
    for said in ("Tablet of rep0: 2 waiting", "server_unreachable since", "no network", "catalog"):
        assert said in shown, shown
    assert json.loads(left.roadbook("devices", "show", str(left.device_id), "--json").output)["receipts"][0]["rows"] == 4
