"""Enrolment over HTTP: a team at once from behind one address, and somebody who guesses."""

import asyncio

import httpx2

from server.identity.attempts import LOGIN_FAILURES_MAX, WINDOW_MS
from sync_protocol.wire.codec import MESSAGE_MEDIA_TYPE, encode
from sync_protocol.wire.messages import EnrolRequest
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.office import problem
from tests.support.world import SERVER_URL, World


def client_of(world: World) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=world.http_transport(), base_url=SERVER_URL)


async def enrol(client: httpx2.AsyncClient, code: str) -> httpx2.Response:
    request = EnrolRequest(protocol_version=PROTOCOL_VERSION, code=code, device_name="Tablet")
    return await client.post("/sync/enrol", content=encode(request), headers={"content-type": MESSAGE_MEDIA_TYPE})


async def test_a_whole_team_enrols_at_once_from_one_network(world: World) -> None:
    codes = [await world.code_for("rep0") for _ in range(LOGIN_FAILURES_MAX * 3)]
    async with client_of(world) as client:
        answers = await asyncio.gather(*(enrol(client, code) for code in codes))
        assert {answer.status_code for answer in answers} == {200}
        assert (await enrol(client, await world.code_for("rep0"))).status_code == 200


async def test_codes_are_not_guessed_from_one_network(world: World) -> None:
    code = await world.code_for("rep0")
    async with client_of(world) as client:
        for _ in range(LOGIN_FAILURES_MAX):
            problem(await enrol(client, "AAAA-AAAA-AAAA"), 401, "enrolment_code_invalid")
        for tried in ("AAAA-AAAA-AAAA", code):
            refused = await enrol(client, tried)
            problem(refused, 429, "too_many_attempts")
            assert 0 < int(refused.headers["retry-after"]) <= WINDOW_MS // 1000
        world.clock.advance(WINDOW_MS)
        assert (await enrol(client, code)).status_code == 200
