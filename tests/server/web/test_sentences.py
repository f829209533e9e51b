"""What a person is told of a request, or a command, that does not fit: which part, and what would."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from server.__main__ import main
from server.identity.principals import Role
from tests.support.office import Office, problem


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("/orders?foo=1", "foo", "known are after, customer, customer_id, limit,"),
        ("/orders?status=held&Status=held", "Status", "no parameter"),
        ("/orders?limit=1&limit=2", "limit", "twice"),
        ("/orders?foo=", "foo", "no parameter"),
        ("/me?x", "x", "takes none"),
        ("/orders?status=lost", "status", "'lost' is none of draft, submitted, held,"),
        ("/orders?received_from=yesterday", "received_from", "2026-11-22T00:00:00Z"),
        ("/orders?customer_id=12", "customer_id", "UUID"),
        ("/orders?customer=%00", "customer", "contains a control character; remove it"),
        ("/users?after=%00", "after", "contains a control character; remove it"),
        ("/orders/12", "order_id", "'12' is not an id"),
    ],
)
async def test_a_part_of_an_address_that_does_not_fit_is_named_with_what_does(
    office: Office, path: str, field: str, words: str
) -> None:
    response = await office.client.get(path, headers=office.as_(Role.ADMIN))
    fields = problem(response, 400, "invalid_request")["fields"]
    assert fields.keys() == {field}
    assert words in fields[field]


@pytest.mark.parametrize(
    ("extra", "field", "sentence"),
    [
        ({"login": "a\u0000b"}, "login", "contains a control character; remove it"),
        ({"role": "owner"}, "role", "'owner' is none of rep, buyer, manager, admin, integration; give one of them"),
    ],
)
async def test_a_part_of_a_body_that_does_not_fit_is_told_what_does(
    office: Office, extra: dict[str, Any], field: str, sentence: str
) -> None:
    body = {"login": "x", "name": "X", "role": "manager", **extra}
    response = await office.client.post("/users", headers=office.as_(Role.ADMIN), json=body)
    assert problem(response, 400, "invalid_request")["fields"] == {field: sentence}


async def test_a_page_that_is_not_described_takes_any_query(office: Office) -> None:
    assert (await office.client.get("/docs?from=mail")).status_code == 200


def test_an_import_of_a_folder_without_the_files_names_the_mapping_that_wants_them(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    ended = CliRunner().invoke(main, ("import", str(tmp_path)), env={"ROADBOOK_DATABASE_URL": sqlite_database_url})
    assert ended.exit_code == 1
    assert "the mapping adventureworks.toml wants this file, --mapping names another" in ended.output.lower()
