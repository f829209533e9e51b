"""Signing in, staying in, and being put out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from server.identity import service
from server.identity.attempts import LOGIN_FAILURES_MAX, NETWORK_FAILURES_MAX, WINDOW_MS, limits, network_of
from server.identity.credentials import _hashing
from server.identity.models import AttemptModel
from server.identity.principals import Role
from tests.support.office import Office, bearer, problem

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def password_hash() -> str:
    """Of the least cost that there is: a hash says itself what it takes to verify it."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


async def test_a_session_opens_with_the_password_and_ends_when_signed_out(office: Office, password_hash: str) -> None:
    await office.hire(Role.MANAGER, "Mia", password_hash=password_hash)
    opened = await office.client.post("/session", json={"login": " MIA ", "password": PASSWORD})
    assert opened.status_code == 201
    assert (opened.json()["name"], opened.json()["role"]) == ("The manager", "manager")
    headers = bearer(opened.json()["token"])
    assert (await office.client.get("/me", headers=headers)).json()["login"] == "mia"
    assert (await office.client.delete("/session", headers=headers)).status_code == 204
    problem(await office.client.get("/me", headers=headers), 401, "token_invalid")


async def test_an_unknown_login_and_a_wrong_password_and_a_deactivated_user_get_the_same_answer(
    office: Office, password_hash: str
) -> None:
    user_id = await office.hire(Role.MANAGER, "mia", password_hash=password_hash)
    wrong = await office.client.post("/session", json={"login": "mia", "password": "wrong"})
    unknown = await office.client.post("/session", json={"login": "nobody", "password": "wrong"})
    await office.client.post(f"/users/{user_id}/deactivation", headers=office.as_(Role.ADMIN))
    ended = await office.client.post("/session", json={"login": "mia", "password": PASSWORD})
    assert (
        problem(wrong, 401, "sign_in_refused") == problem(unknown, 401, "sign_in_refused") == problem(ended, 401, "sign_in_refused")
    )


async def test_a_user_without_a_password_cannot_sign_in(office: Office) -> None:
    for password in ("", "!"):
        problem(await office.client.post("/session", json={"login": "rep", "password": password}), 401, "sign_in_refused")


async def test_a_session_ends_by_itself(office: Office) -> None:
    headers = office.as_(Role.MANAGER)
    office.clock.advance(12 * 3600 - 60)
    assert (await office.client.get("/me", headers=headers)).status_code == 200
    office.clock.advance(120)
    problem(await office.client.get("/me", headers=headers), 401, "token_invalid")


async def test_a_deactivated_user_is_refused_at_the_next_request(office: Office) -> None:
    tablet = await office.enrol()
    for token in (office.tokens[Role.REP], tablet.enrolment.token):
        assert (await office.client.get("/me", headers=bearer(token))).status_code == 200
    await office.client.post(f"/users/{office.users[Role.REP]}/deactivation", headers=office.as_(Role.ADMIN))
    problem(await office.client.get("/me", headers=office.as_(Role.REP)), 401, "token_invalid")
    problem(await office.client.get("/me", headers=bearer(tablet.enrolment.token)), 401, "device_revoked")


async def test_a_new_password_ends_the_sessions(office: Office, password_hash: str) -> None:
    user_id = await office.hire(Role.MANAGER, "mia", password_hash=password_hash)
    opened = await office.client.post("/session", json={"login": "mia", "password": PASSWORD})
    headers = bearer(opened.json()["token"])
    url = f"/users/{user_id}/password"
    refused = await office.client.post(url, headers=headers, json={"password": "another one", "current_password": "wrong"})
    problem(refused, 401, "sign_in_refused")
    changed = await office.client.post(url, headers=headers, json={"password": "another one", "current_password": PASSWORD})
    assert changed.status_code == 204
    problem(await office.client.get("/me", headers=headers), 401, "token_invalid")
    assert (await office.client.post("/session", json={"login": "mia", "password": "another one"})).status_code == 201


async def failures(office: Office) -> set[int]:
    async with office.database.read() as session:
        return set((await session.execute(sa.select(AttemptModel.failures))).scalars())


async def test_the_current_password_cannot_be_guessed_either(office: Office, password_hash: str) -> None:
    user_id = await office.hire(Role.MANAGER, "mia", password_hash=password_hash)
    opened = await office.client.post("/session", json={"login": "mia", "password": PASSWORD})
    url, headers = f"/users/{user_id}/password", bearer(opened.json()["token"])
    wrong, right = ({"password": "another one", "current_password": given} for given in ("wrong", PASSWORD))
    problem(await office.client.post(url, headers=headers, json=wrong), 401, "sign_in_refused")
    assert await failures(office) == {1}
    async with office.database.write() as session:
        for _ in range(LOGIN_FAILURES_MAX - 1):
            await service.count_attempt(session, limits("login|mia", "127.0.0.1"), office.clock.now_ms())
    problem(await office.client.post(url, headers=headers, json=right), 429, "too_many_attempts")
    office.clock.advance(WINDOW_MS / 1000)
    assert (await office.client.post(url, headers=headers, json=right)).status_code == 204
    assert await failures(office) == {0}


@asynccontextmanager
async def passwords_wait() -> AsyncIterator[None]:
    """Nobody's password is checked before the block has ended."""
    holders = [object() for _ in range(int(_hashing.total_tokens))]
    for holder in holders:
        await _hashing.acquire_on_behalf_of(holder)
    try:
        yield
    finally:
        for holder in holders:
            _hashing.release_on_behalf_of(holder)


@pytest.mark.parametrize("change", ["deactivation", "password"])
async def test_who_is_ended_while_the_password_is_checked_is_not_signed_in(office: Office, password_hash: str, change: str) -> None:
    user_id = await office.hire(Role.MANAGER, "mia", password_hash=password_hash)
    async with passwords_wait():
        opened = asyncio.create_task(office.client.post("/session", json={"login": "mia", "password": PASSWORD}))
        async with asyncio.timeout(10):
            while not _hashing.statistics().tasks_waiting:  # noqa: ASYNC110  # what waits in line tells nobody
                await asyncio.sleep(0.01)
        async with office.database.write() as session:
            if change == "deactivation":
                await service.deactivate_user(session, user_id, office.clock.now_ms())
            else:
                await service.set_password(session, user_id, "another hash")
    problem(await opened, 401, "sign_in_refused")


async def test_only_an_administrator_sets_the_password_of_somebody_else(office: Office) -> None:
    url = f"/users/{office.users[Role.REP]}/password"
    body = {"password": "another one"}
    problem(await office.client.post(url, headers=office.as_(Role.MANAGER), json=body), 403, "not_yours_to_do")
    assert (await office.client.post(url, headers=office.as_(Role.ADMIN), json=body)).status_code == 204


async def test_failures_close_a_login_to_their_network_for_a_while(office: Office, password_hash: str) -> None:
    await office.hire(Role.MANAGER, "mia", password_hash=password_hash)
    async with office.database.write() as session:
        counters = limits("login|mia", "127.0.0.1")
        for _ in range(LOGIN_FAILURES_MAX):
            assert await service.count_attempt(session, counters, office.clock.now_ms()) is None
    refused = await office.client.post("/session", json={"login": "mia", "password": PASSWORD})
    problem(refused, 429, "too_many_attempts")
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_MS // 1000
    office.clock.advance(WINDOW_MS / 1000)
    assert (await office.client.post("/session", json={"login": "mia", "password": PASSWORD})).status_code == 201


async def test_a_stranger_elsewhere_does_not_lock_the_owner_out(office: Office, password_hash: str) -> None:
    await office.hire(Role.MANAGER, "mia", password_hash=password_hash)
    async with office.database.write() as session:
        for _ in range(LOGIN_FAILURES_MAX * 3):
            await service.count_attempt(session, limits("login|mia", "203.0.113.9"), office.clock.now_ms())
    assert (await office.client.post("/session", json={"login": "mia", "password": PASSWORD})).status_code == 201


async def test_a_network_is_limited_over_all_logins_whatever_it_says_of_itself(office: Office) -> None:
    async with office.database.write() as session:
        for number in range(NETWORK_FAILURES_MAX):
            assert await service.count_attempt(session, limits(f"login|{number}", "127.0.0.1"), office.clock.now_ms()) is None
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        refused = await office.client.post("/session", headers={name: "198.51.100.7"}, json={"login": "x", "password": "y"})
        problem(refused, 429, "too_many_attempts")


async def test_a_success_is_not_counted(office: Office, password_hash: str) -> None:
    await office.hire(Role.MANAGER, "mia", password_hash=password_hash)
    for _ in range(LOGIN_FAILURES_MAX + 1):
        assert (await office.client.post("/session", json={"login": "mia", "password": PASSWORD})).status_code == 201


def test_addresses_of_one_ipv6_network_count_together() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "rbs_x"])
async def test_a_request_without_a_bearer_token_is_told_how_to_get_one(office: Office, header: str) -> None:
    response = await office.client.get("/me", headers={"Authorization": header})
    assert "POST /session" in problem(response, 401, "token_missing")["detail"]
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("token", ["x", "rbs_x", "rbd_x", "rbs_" + "x" * 10_000])
async def test_a_made_up_token_is_refused(office: Office, token: str) -> None:
    problem(await office.client.get("/me", headers=bearer(token)), 401, "token_invalid")
