"""Making and listing users."""

from typing import Any

import pytest

from server.identity import service
from server.identity.errors import UnfitUserError
from server.identity.principals import Role
from tests.support.office import Office, problem


async def make(office: Office, **user: Any) -> Any:
    return await office.client.post("/users", headers=office.as_(Role.ADMIN), json={"name": "Somebody", **user})


async def test_a_user_is_made_and_listed_without_any_secret(office: Office) -> None:
    made = await make(office, login="Mia", role="manager", password="long enough")
    assert made.status_code == 201
    listed = await office.client.get("/users", headers=office.as_(Role.MANAGER))
    assert made.json() in listed.json()["items"]
    assert "argon2" not in listed.text
    assert "hash" not in listed.text


async def test_a_login_is_taken_in_any_case(office: Office) -> None:
    await make(office, login="mia", role="manager")
    problem(await make(office, login=" MIA", role="admin"), 409, "login_taken")


@pytest.mark.parametrize(
    ("role", "given", "wrong"),
    [
        ("rep", {}, {"rep_id"}),
        ("buyer", {}, {"customer_id"}),
        ("manager", {"rep_id": "rep"}, {"rep_id"}),
        ("rep", {"rep_id": "rep", "customer_id": "customer"}, {"customer_id"}),
        ("rep", {"rep_id": "nowhere"}, {"rep_id"}),
    ],
)
async def test_a_user_must_name_what_its_role_stands_for(office: Office, role: str, given: dict[str, str], wrong: set[str]) -> None:
    known = {"rep": office.rep, "customer": office.customer, "nowhere": office.ids.new()}
    ids = {field: str(known[what]) for field, what in given.items()}
    assert problem(await make(office, login="x", role=role, **ids), 400, "unfit_user")["fields"].keys() == wrong


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"active": False}, "active"),
        ({"password_hash": "x"}, "password_hash"),
        ({"role": "owner"}, "role"),
        ({"password": "short"}, "password"),
        ({"login": "a\u0000b"}, "login"),
        ({"login": ""}, "login"),
        ({"login": "x" * 201}, "login"),
        ({"login": "a\nb"}, "login"),
        ({"name": ""}, "name"),
        ({"name": "A\u2028B"}, "name"),
    ],
)
async def test_what_may_not_be_sent_is_refused_by_name(office: Office, extra: dict[str, Any], field: str) -> None:
    response = await make(office, **{"login": "x", "role": "manager", **extra})
    assert field in problem(response, 400, "invalid_request")["fields"], response.text


@pytest.mark.parametrize(
    ("login", "name", "wrong"),
    [
        (" ", "X", {"login"}),
        ("x", "\u00a0", {"name"}),
        ("ß" * 150, "X", {"login"}),
        ("a\tb", "A\x9fB", {"login", "name"}),
        ("x" * 200, "X" * 201, {"name"}),
        ("x\ud800", "X", {"login"}),
    ],
)
async def test_nobody_makes_a_user_whose_login_or_name_is_not_one_line(
    office: Office, login: str, name: str, wrong: set[str]
) -> None:
    async with office.database.write() as session:
        with pytest.raises(UnfitUserError) as refused:
            await service.create_user(session, ids=office.ids, now_ms=0, login=login, name=name, role=Role.MANAGER)
    assert refused.value.fields.keys() == wrong


async def test_what_is_empty_without_its_white_space_is_refused_over_the_api_too(office: Office) -> None:
    refused = problem(await make(office, login=" ", name="\u3000", role="manager"), 400, "unfit_user")
    assert refused["fields"].keys() == {"login", "name"}


async def test_an_administrator_does_not_deactivate_themselves(office: Office) -> None:
    url = f"/users/{office.users[Role.ADMIN]}/deactivation"
    problem(await office.client.post(url, headers=office.as_(Role.ADMIN)), 403, "not_yours_to_do")


async def test_users_are_listed_page_by_page(office: Office) -> None:
    logins: list[str] = []
    after = ""
    while True:
        page = (await office.client.get(f"/users?limit=2&after={after}", headers=office.as_(Role.ADMIN))).json()
        logins += [user["login"] for user in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert logins == sorted(role.value for role in Role)


async def test_a_cursor_that_no_database_can_hold_is_refused(office: Office) -> None:
    response = await office.client.get("/users?after=%00", headers=office.as_(Role.ADMIN))
    assert "after" in problem(response, 400, "invalid_request")["fields"]
