"""Codes that become devices, and devices that end."""

import asyncio

import pytest

from server.identity import service
from server.identity.credentials import CODE_CHARACTERS, CROCKFORD, DEVICE_PREFIX, SESSION_PREFIX, code_digest, new_code
from server.identity.devices import NewDevice, create_device, list_devices, next_number_prefix
from server.identity.errors import EnrolmentCodeInvalidError
from server.identity.models import UserModel
from server.identity.principals import Role
from tests.support.office import Office, bearer, problem


async def take(office: Office, code: str) -> UserModel:
    async with office.database.write() as session:
        return await service.take_enrolment_code(session, code, office.clock.now_ms())


async def issue(office: Office) -> str:
    url, body = "/enrolment-codes", {"user_id": str(office.users[Role.REP])}
    return str((await office.client.post(url, headers=office.as_(Role.MANAGER), json=body)).json()["code"])


def test_a_code_is_typed_by_people() -> None:
    code = new_code()
    assert len(code.replace("-", "")) == CODE_CHARACTERS >= 8
    assert set(code) <= {*CROCKFORD, "-"}
    assert code_digest("0oO1iIlL") == code_digest("0-0-0 1111 1".replace(" ", ""))
    assert code_digest(code.lower().replace("-", " ")) == code_digest(code)


async def test_a_code_works_once_even_for_two_at_once(office: Office) -> None:
    code = await issue(office)
    results = await asyncio.gather(take(office, code), take(office, code), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["EnrolmentCodeInvalidError", "UserModel"]


async def test_a_code_expires(office: Office) -> None:
    code = await issue(office)
    office.clock.advance(24 * 3600 + 1)
    with pytest.raises(EnrolmentCodeInvalidError):
        await take(office, code)


async def test_a_code_of_a_deactivated_user_is_worth_nothing(office: Office) -> None:
    code = await issue(office)
    await office.client.post(f"/users/{office.users[Role.REP]}/deactivation", headers=office.as_(Role.ADMIN))
    with pytest.raises(EnrolmentCodeInvalidError):
        await take(office, code)


async def test_a_rep_issues_codes_for_itself_only(office: Office) -> None:
    headers = office.as_(Role.REP)
    assert (await office.client.post("/enrolment-codes", headers=headers, json={})).status_code == 201
    body = {"user_id": str(office.users[Role.BUYER])}
    problem(await office.client.post("/enrolment-codes", headers=headers, json=body), 403, "not_yours_to_do")


@pytest.mark.parametrize("role", [Role.MANAGER, Role.ADMIN, Role.INTEGRATION])
async def test_nobody_makes_a_device_of_someone_who_may_do_more(office: Office, role: Role) -> None:
    body = {"user_id": str(office.users[role])}
    response = await office.client.post("/enrolment-codes", headers=office.as_(Role.MANAGER), json=body)
    problem(response, 409, "no_devices_for_role")


async def test_a_stolen_device_cannot_issue_a_code_for_another(office: Office) -> None:
    tablet = await office.enrol()
    response = await office.client.post("/enrolment-codes", headers=bearer(tablet.enrolment.token), json={})
    problem(response, 403, "sign_in_needed")


async def test_prefixes_are_never_given_twice(office: Office) -> None:
    async def given() -> str:
        async with office.database.write() as session:
            return await next_number_prefix(session)

    prefixes = await asyncio.gather(*(given() for _ in range(12)))
    assert sorted(prefixes, key=lambda prefix: int(prefix[1:])) == [f"R{number}" for number in range(1, 13)]


@pytest.mark.parametrize("reason", ["lost", "left", "replaced"])
async def test_a_revoked_device_is_refused_at_its_next_request(office: Office, reason: str) -> None:
    tablet = await office.enrol()
    headers = bearer(tablet.enrolment.token)
    assert (await office.client.get("/me", headers=headers)).json()["device_id"] == str(tablet.enrolment.device_id)
    url = f"/devices/{tablet.enrolment.device_id}/revocation"
    revoked = await office.client.post(url, headers=office.as_(Role.MANAGER), json={"reason": reason})
    assert revoked.json()["revoked_reason"] == reason
    assert reason in problem(await office.client.get("/me", headers=headers), 401, "device_revoked")["detail"]
    again = await office.client.post(url, headers=office.as_(Role.MANAGER), json={"reason": "lost"})
    problem(again, 409, "device_already_revoked")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/me"), ("POST", "/sync/push"), ("POST", "/sync/pull"), ("GET", "/sync/live")]
)
async def test_a_device_that_is_not_known_is_told_to_enrol_again_and_a_person_to_sign_in(
    office: Office, method: str, path: str
) -> None:
    device = await office.client.request(method, path, headers=bearer(DEVICE_PREFIX + "of-another-server"))
    assert "enrol the same device file" in problem(device, 401, "token_invalid")["detail"]
    person = await office.client.request(method, path, headers=bearer(SESSION_PREFIX + "of-yesterday"))
    assert "sign in again at POST /session" in problem(person, 401, "token_invalid")["detail"]


async def make(office: Office, name: str, origin: NewDevice | None = None) -> NewDevice:
    async with office.database.write() as session:
        user, prefix = await service.user_of_login(session, "rep"), await next_number_prefix(session)
        forked_from_id = origin.device.id if origin else None
        return await create_device(
            session, user, name, prefix, ids=office.ids, now_ms=office.clock.now_ms(), forked_from_id=forked_from_id
        )


async def test_what_was_forked_from_a_revoked_device_is_revoked_with_it(office: Office) -> None:
    first, other = await make(office, "first"), await make(office, "other")
    child = await make(office, "child", first)
    replaced, grandchild = await make(office, "replaced", child), await make(office, "grandchild", child)
    await make(office, "great-grandchild", replaced)

    async def revoke(made: NewDevice, reason: str) -> None:
        url = f"/devices/{made.device.id}/revocation"
        assert (await office.client.post(url, headers=office.as_(Role.MANAGER), json={"reason": reason})).status_code == 200

    async def reasons() -> dict[str, str | None]:
        async with office.database.read() as session:
            return {device.name: device.revoked_reason for device, _ in await list_devices(session)}

    await revoke(replaced, "replaced")
    undisturbed = dict.fromkeys(("first", "child", "grandchild", "other"))
    assert await reasons() == {**undisturbed, "replaced": "replaced", "great-grandchild": "replaced"}
    await revoke(first, "lost")
    lost = dict.fromkeys(("first", "child", "grandchild"), "lost")
    assert await reasons() == {**lost, "other": None, "replaced": "replaced", "great-grandchild": "replaced"}
    problem(await office.client.get("/me", headers=bearer(grandchild.token)), 401, "device_revoked")
    assert (await office.client.get("/me", headers=bearer(other.token))).status_code == 200


async def test_devices_are_listed_with_their_users_page_by_page(office: Office) -> None:
    made = [str((await office.enrol(name=f"Tablet {number}")).enrolment.device_id) for number in range(3)]
    first = (await office.client.get("/devices?limit=2", headers=office.as_(Role.MANAGER))).json()
    second = (await office.client.get(f"/devices?limit=2&after={first['next']}", headers=office.as_(Role.MANAGER))).json()
    assert [device["id"] for device in first["items"] + second["items"]] == made
    assert {device["user_login"] for device in first["items"]} == {"rep"}
    assert second["next"] is None


async def test_a_device_that_does_not_exist_cannot_be_revoked(office: Office) -> None:
    url = f"/devices/{office.ids.new()}/revocation"
    problem(await office.client.post(url, headers=office.as_(Role.ADMIN), json={"reason": "lost"}), 404, "device_not_found")
