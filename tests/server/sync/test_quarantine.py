"""Devices of users who left, and devices that were lost: what they may still say, and what a manager makes of it."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from server.customers.models import CustomerModel, RepTerritoryModel
from server.identity.principals import Role
from server.runtime.errors import ProblemError
from server.runtime.rows import insert_rows
from server.sync import quarantine
from sync_protocol.entities.customers import Rep
from sync_protocol.intents import CancelOrder, Intent, RequestedLine, SubmitOrder
from sync_protocol.verdicts import Code, Outcome
from sync_protocol.wire.codec import decode_verdict, digest, encode
from sync_protocol.wire.messages import DeviceReport, IntentEnvelope, PullRequest, PushReply, PushRequest, PushStatus, StallReport
from sync_protocol.wire.version import PROTOCOL_VERSION, RULES_VERSION
from tests.support.office import PRICE, PRICE_MINOR, START_MS, Office, Tablet, problem


async def revoke(office: Office, tablet: Tablet, reason: str) -> None:
    url = f"/devices/{tablet.enrolment.device_id}/revocation"
    response = await office.client.post(url, headers=office.as_(Role.MANAGER), json={"reason": reason})
    assert response.status_code == 200, response.text


def wrapped(office: Office, intent: Intent) -> IntentEnvelope:
    body = encode(intent)
    return IntentEnvelope(
        id=office.ids.new(),
        kind=type(intent).__name__,
        schema_version=intent.schema_version,
        body=body,
        digest=digest(body),
        captured_at_ms=office.clock.now_ms(),
        time_zone="Europe/Amsterdam",
        clock_skew_ms=0,
        decided_at_cursor=0,
        rules_version=RULES_VERSION,
        lanes=intent.lanes(),
    )


def submission(office: Office, tablet: Tablet, number: int, quantity: int = 10) -> SubmitOrder:
    line = RequestedLine(line_id=office.ids.new(), product_id=office.product, quantity=quantity, unit_price=PRICE)
    return SubmitOrder(
        order_id=office.ids.new(),
        number=f"{tablet.enrolment.number_prefix}-{number:06d}",
        customer_id=office.customer,
        currency="EUR",
        lines=(line,),
    )


async def push(tablet: Tablet, *envelopes: IntentEnvelope) -> PushReply:
    request = PushRequest(
        protocol_version=PROTOCOL_VERSION,
        device_id=tablet.enrolment.device_id,
        incarnation=tablet.incarnation,
        next_incarnation=tablet.office.ids.token(),
        epoch=None,
        intents=envelopes,
    )
    return await tablet.endpoint.push(request)


async def statuses(tablet: Tablet, *envelopes: IntentEnvelope) -> list[PushStatus]:
    return [result.status for result in (await push(tablet, *envelopes)).results]


async def ask(office: Office, path: str, role: Role = Role.MANAGER, **body: Any) -> Any:
    response = await office.client.post(path, headers=office.as_(role), json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def listed(office: Office, query: str = "") -> list[dict[str, Any]]:
    response = await office.client.get(f"/quarantine{query}", headers=office.as_(Role.MANAGER))
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


async def orders(office: Office) -> list[tuple[Any, ...]]:
    async with office.database.read() as session:
        found = await session.execute(sa.text("SELECT number, status, rep_id, total_minor FROM sales_order ORDER BY number"))
        return [
            (row.number, row.status, UUID(bytes=row.rep_id) if isinstance(row.rep_id, bytes) else row.rep_id, row.total_minor)
            for row in found
        ]


async def successor(office: Office) -> UUID:
    """Another rep, who works the same territory."""
    rep = Rep(id=office.ids.new(), code="R-08", name="Successor")
    async with office.database.write() as session:
        await insert_rows(session, [rep])
        session.add(RepTerritoryModel(rep_id=rep.id, territory_id=office.territory))
    return rep.id


async def test_what_a_leaver_sends_is_kept_without_effect(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    first = wrapped(office, submission(office, tablet, 1))
    reply = await push(tablet, first)
    assert reply.results[0].status is PushStatus.DEFERRED
    assert "manager" in reply.results[0].detail
    assert reply.head is None, "the device keeps the places that it knows: nobody has looked whether they are had"
    assert await statuses(tablet, first, wrapped(office, submission(office, tablet, 2))) == [PushStatus.DEFERRED] * 2
    kept = await listed(office)
    assert [(each["kind"], each["state"], each["asked"]["number"], each["user_name"]) for each in kept] == [
        ("SubmitOrder", "waiting", "R1-000001", "The rep"),
        ("SubmitOrder", "waiting", "R1-000002", "The rep"),
    ]
    assert await orders(office) == []
    async with office.database.read() as session:
        code = (await session.get_one(CustomerModel, office.customer)).code
    assert {each["customer_code"] for each in kept} == {code}, "a manager sees whom it is for"
    pulled = PullRequest(protocol_version=PROTOCOL_VERSION, device_id=tablet.enrolment.device_id, incarnation=tablet.incarnation)
    with pytest.raises(ProblemError) as refused:
        _ = [piece async for piece in tablet.endpoint.pull(pulled)]
    assert (refused.value.code, refused.value.fields) == ("device_revoked", {})


async def test_a_release_decides_as_if_the_chosen_rep_had_asked_and_the_device_is_told(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    await push(tablet, envelope)
    rep_id = await successor(office)
    body = {"intent_ids": [str(envelope.id)], "rep_id": str(rep_id), "reason": "agreed with the customer"}
    (released,) = await ask(office, "/quarantine/release", **body)
    assert (released["id"], released["outcome"], released["codes"]) == (str(envelope.id), "accepted", [])
    assert await orders(office) == [("R1-000001", "confirmed", rep_id, 10 * PRICE_MINOR)]
    assert await listed(office) == []
    (kept,) = await listed(office, "?decided=true")
    assert (kept["state"], kept["as_rep_id"], kept["reason"]) == ("released", str(rep_id), "agreed with the customer")
    assert kept["decided_by_id"] == str(office.users[Role.MANAGER])
    (result,) = (await push(tablet, envelope)).results
    assert (result.status, decode_verdict(result.verdict).outcome) == (PushStatus.DECIDED, Outcome.ACCEPTED)
    assert result.commit_seq > 0
    again = await office.client.post("/quarantine/release", headers=office.as_(Role.ADMIN), json=body)
    problem(again, 409, "quarantine_decided")
    assert len(await orders(office)) == 1


async def test_a_release_has_no_more_rights_than_the_chosen_rep(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    await push(tablet, envelope)
    stranger = Rep(id=office.ids.new(), code="R-99", name="Somewhere else")
    async with office.database.write() as session:
        await insert_rows(session, [stranger])
    body = {"intent_ids": [str(envelope.id)], "rep_id": str(stranger.id), "reason": "a try"}
    refused = await office.client.post("/quarantine/release", headers=office.as_(Role.MANAGER), json=body)
    assert "name one who serves the customer" in problem(refused, 400, "quarantine_unfit")["fields"]["rep_id"]
    assert await orders(office) == []
    assert [each["state"] for each in await listed(office)] == ["waiting"], "a manager who named the wrong rep names another"
    rep_id = await successor(office)
    (released,) = await ask(office, "/quarantine/release", **(body | {"rep_id": str(rep_id)}))
    assert (released["outcome"], released["codes"]) == ("accepted", [])
    assert [order[2] for order in await orders(office)] == [rep_id]


async def test_a_discarded_intent_is_rejected_for_good_with_the_reason(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    await push(tablet, envelope)
    assert await ask(office, "/quarantine/discard", intent_ids=[str(envelope.id)], reason="never ordered") == {"discarded": 1}
    (result,) = (await push(tablet, envelope)).results
    verdict = decode_verdict(result.verdict)
    assert (verdict.outcome, verdict.codes) == (Outcome.REJECTED, (Code.NOT_PERMITTED,))
    assert verdict.detail == "a manager discarded it: never ordered"
    assert verdict.remedies() == ("A manager looked at it and decided so. Ask them before you enter it again.",)
    assert await orders(office) == []
    items = (await office.client.get("/verdicts?outcome=rejected", headers=office.as_(Role.MANAGER))).json()["items"]
    assert [each["intent_id"] for each in items] == [str(envelope.id)]


async def test_what_was_decided_on_another_device_meanwhile_is_not_discarded(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    await push(tablet, envelope)
    (result,) = (await push(await office.enrol(name="Tablet again"), envelope)).results
    body = {"intent_ids": [str(envelope.id)], "reason": "never ordered"}
    refused = await office.client.post("/quarantine/discard", headers=office.as_(Role.MANAGER), json=body)
    assert "another device" in problem(refused, 409, "quarantine_decided")["detail"]
    (released,) = await ask(office, "/quarantine/release", **body, rep_id=str(office.rep))
    assert (released["outcome"], len(await orders(office))) == ("accepted", 1)
    assert (await push(tablet, envelope)).results == (result,)


async def test_other_bytes_under_an_id_in_the_quarantine_are_a_conflict_and_not_lost_in_silence(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    first, second = (wrapped(office, submission(office, tablet, number)) for number in (1, 2))
    other = msgspec.structs.replace(second, id=first.id)
    assert await statuses(tablet, first, other) == [PushStatus.DEFERRED, PushStatus.CONFLICT]
    assert await statuses(tablet, other, first) == [PushStatus.CONFLICT, PushStatus.DEFERRED]
    assert [each["asked"]["number"] for each in await listed(office)] == ["R1-000001"]


async def test_order_is_kept_within_an_order_also_in_the_quarantine(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    asked = submission(office, tablet, 1)
    first, second = wrapped(office, asked), wrapped(office, CancelOrder(order_id=asked.order_id))
    await push(tablet, first)
    await push(tablet, second)
    rep_id = str(await successor(office))
    body = {"rep_id": rep_id, "reason": "fine"}
    headers = office.as_(Role.MANAGER)
    early = await office.client.post("/quarantine/release", headers=headers, json={**body, "intent_ids": [str(second.id)]})
    assert str(first.id) in problem(early, 400, "quarantine_unfit")["fields"]["intent_ids"]
    both = await ask(office, "/quarantine/release", **body, intent_ids=[str(second.id), str(first.id)])
    assert [each["id"] for each in both] == [str(first.id), str(second.id)]
    assert [status for _, status, *_ in await orders(office)] == ["cancelled"]


async def test_of_two_managers_at_once_one_decides(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    await push(tablet, envelope)
    one = {"intent_ids": [str(envelope.id)], "rep_id": str(await successor(office)), "reason": "fine"}
    other = {"intent_ids": [str(envelope.id)], "reason": "not fine"}
    answers = await asyncio.gather(
        office.client.post("/quarantine/release", headers=office.as_(Role.MANAGER), json=one),
        office.client.post("/quarantine/discard", headers=office.as_(Role.ADMIN), json=other),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(await orders(office)) == (answers[0].status_code == 200)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_release_that_others_stand_in_the_way_of_is_busy_and_can_be_asked_again(office: Office) -> None:
    """Two sessions, each with what the other waits for; PostgreSQL ends the one that has waited for a second."""
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    await push(tablet, envelope)
    asked = {"intent_ids": [str(envelope.id)], "rep_id": str(await successor(office)), "reason": "fine"}

    def release() -> Any:
        return office.client.post("/quarantine/release", headers=office.as_(Role.MANAGER), json=asked)

    waiting = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    async with office.database.engine.begin() as other, office.database.engine.connect() as watching:
        await other.execute(sa.text("SET LOCAL deadlock_timeout = '60s'"))
        await other.execute(sa.text("SELECT 1 FROM stock_level FOR UPDATE"))
        releasing = asyncio.ensure_future(release())
        async with asyncio.timeout(20):
            while not (await watching.execute(waiting)).scalar_one():
                await watching.rollback()  # each look is at another moment
                await asyncio.sleep(0.01)
        await other.execute(sa.text("SELECT 1 FROM quarantined_intent FOR UPDATE"))
        refused = await releasing
    problem(refused, 503, "busy")
    assert refused.headers["retry-after"]
    assert [each["state"] for each in await listed(office)] == ["waiting"]
    assert await orders(office) == []
    assert (await release()).status_code == 200
    assert len(await orders(office)) == 1


async def test_nonsense_is_refused_by_the_field(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    await push(tablet, envelope)
    good = {"intent_ids": [str(envelope.id)], "rep_id": str(office.rep), "reason": "fine"}
    for wrong, field in (
        ({"rep_id": str(office.customer)}, "rep_id"),
        ({"reason": "  "}, "reason"),
        ({"intent_ids": [str(envelope.id), str(office.ids.new())]}, "intent_ids[1]"),
    ):
        refused = await office.client.post("/quarantine/release", headers=office.as_(Role.MANAGER), json={**good, **wrong})
        assert problem(refused, 400, "quarantine_unfit")["fields"].keys() == {field}
    nothing = await office.client.post("/quarantine/release", headers=office.as_(Role.MANAGER), json={**good, "intent_ids": []})
    problem(nothing, 400, "invalid_request")
    assert len(await listed(office)) == 1


async def test_the_quarantine_takes_only_so_much_of_a_device(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    tablet, other = await office.enrol(), await office.enrol()
    await revoke(office, tablet, "left")
    await revoke(office, other, "left")
    monkeypatch.setattr(quarantine, "INTENTS_MAX", 1)
    first, second = (wrapped(office, submission(office, tablet, number)) for number in (1, 2))
    await push(tablet, first)
    reply = await push(tablet, second)
    assert "no room" in reply.results[0].detail
    assert await statuses(other, wrapped(office, submission(office, other, 1))) == [PushStatus.DEFERRED]
    assert len(await listed(office)) == 2


async def test_what_was_damaged_on_the_way_is_not_kept(office: Office) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, "left")
    envelope = wrapped(office, submission(office, tablet, 1))
    damaged = IntentEnvelope(**{**{name: getattr(envelope, name) for name in envelope.__struct_fields__}, "digest": b"x" * 16})
    assert await statuses(tablet, damaged) == [PushStatus.DEFERRED]
    assert await listed(office) == []


@pytest.mark.parametrize("reason", ["lost", "replaced"])
async def test_what_other_revoked_devices_send_is_refused(office: Office, reason: str) -> None:
    tablet = await office.enrol()
    await revoke(office, tablet, reason)
    with pytest.raises(ProblemError) as refused:
        await push(tablet, wrapped(office, submission(office, tablet, 1)))
    assert refused.value.code == "device_revoked"
    assert refused.value.fields.keys() == ({"wipe_key"} if reason == "lost" else set())
    assert await listed(office) == []


async def test_a_leaver_sends_for_the_own_device_only(office: Office) -> None:
    tablet, other = await office.enrol(), await office.enrol()
    await revoke(office, tablet, "left")
    request = PushRequest(
        protocol_version=PROTOCOL_VERSION,
        device_id=other.enrolment.device_id,
        incarnation=other.incarnation,
        next_incarnation=office.ids.token(),
        epoch=None,
        intents=(wrapped(office, submission(office, tablet, 1)),),
    )
    with pytest.raises(ProblemError) as refused:
        await tablet.endpoint.push(request)
    assert refused.value.code == "device_mismatch"


def confirmation(tablet: Tablet, code: str = "wiped") -> DeviceReport:
    return DeviceReport(
        protocol_version=PROTOCOL_VERSION,
        device_id=tablet.enrolment.device_id,
        incarnation=tablet.incarnation,
        epoch=None,
        cursor=0,
        problem=StallReport(code=code, detail="", since_ms=START_MS),
    )


async def test_a_lost_device_is_shown_the_key_to_its_lock_and_its_token_confirms_the_wipe_and_nothing_else(office: Office) -> None:
    tablet = await office.enrol()
    assert tablet.enrolment.wipe_lock is not None
    ordinary = await tablet.endpoint.report(confirmation(tablet, "server_unreachable"))
    assert ordinary.wipe_lock == tablet.enrolment.wipe_lock
    await tablet.endpoint.report(confirmation(tablet))
    url = f"/devices/{tablet.enrolment.device_id}"
    assert (await office.client.get(url, headers=office.as_(Role.MANAGER))).json()["device"]["wiped_at"] is None, "it is not lost"
    await revoke(office, tablet, "lost")
    with pytest.raises(ProblemError) as refused:
        await tablet.endpoint.report(confirmation(tablet, "server_unreachable"))
    assert digest(bytes.fromhex(refused.value.fields["wipe_key"])) == tablet.enrolment.wipe_lock
    before = (await office.client.get(url, headers=office.as_(Role.MANAGER))).json()["device"]
    assert (before["revoked_reason"], before["wiped_at"]) == ("lost", None)
    for _ in range(2):
        await tablet.endpoint.report(confirmation(tablet))
    after = (await office.client.get(url, headers=office.as_(Role.MANAGER))).json()["device"]
    assert after["wiped_at"] is not None
    office.clock.advance(60)
    await tablet.endpoint.report(confirmation(tablet))
    assert (await office.client.get(url, headers=office.as_(Role.MANAGER))).json()["device"] == after


async def test_every_device_has_a_lock_of_its_own_and_nobody_else_is_shown_a_key(office: Office) -> None:
    tablets = [await office.enrol() for _ in range(3)]
    assert len({tablet.enrolment.wipe_lock for tablet in tablets}) == 3
    for tablet, reason in zip(tablets, ("left", "replaced", None), strict=True):
        if reason:
            await revoke(office, tablet, reason)
            with pytest.raises(ProblemError) as refused:
                await tablet.endpoint.report(confirmation(tablet))
            assert (refused.value.code, refused.value.fields) == ("device_revoked", {})
    async with office.database.read() as session:
        keys = (await session.execute(sa.text("SELECT wipe_key FROM device"))).scalars().all()
    answers = [
        await office.client.get(path, headers=office.as_(Role.ADMIN))
        for path in ("/devices", f"/devices/{tablets[0].enrolment.device_id}")
    ]
    assert all(bytes(key).hex() not in answer.text for key in keys for answer in answers)


async def test_a_deactivated_users_device_is_a_leavers(office: Office) -> None:
    tablet = await office.enrol()
    response = await office.client.post(f"/users/{office.users[Role.REP]}/deactivation", headers=office.as_(Role.ADMIN))
    assert response.status_code == 200
    assert await statuses(tablet, wrapped(office, submission(office, tablet, 1))) == [PushStatus.DEFERRED]
    assert len(await listed(office)) == 1
