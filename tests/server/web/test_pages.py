"""The API page and the description behind it: nothing comes from anywhere else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import server.web
from tests.support.office import Office

STATIC = Path(server.web.__file__).parent / "static"


async def test_the_root_leads_to_the_page(office: Office) -> None:
    response = await office.client.get("/")
    assert response.is_redirect
    assert response.headers["location"] == "/docs"


async def test_the_page_and_all_that_it_names_are_served_from_here(office: Office) -> None:
    page = await office.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text)
    assert {"/docs/rapidoc-min.js", "/openapi.json"} <= set(named)
    for address in named:
        assert address.startswith(("/", "data:")), address
        if address.startswith("/"):
            assert (await office.client.get(address)).status_code == 200


async def test_the_browser_is_told_to_ask_nobody_else(office: Office) -> None:
    policy = (await office.client.get("/docs")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "*" not in policy


def test_the_vendored_script_keeps_its_licence_beside_it() -> None:
    assert "MIT License" in (STATIC / "rapidoc-LICENSE.txt").read_text()
    assert (STATIC / "rapidoc-min.js.LICENSE.txt").stat().st_size > 0
    assert (STATIC / "rapidoc-min.js").stat().st_size < 2 * 1024 * 1024


async def test_the_description_says_how_errors_look(office: Office) -> None:
    schema = (await office.client.get("/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    assert schema["components"]["schemas"]["Problem"]["required"][:3] == ["type", "title", "status"]
    for item in schema["paths"].values():
        for operation in item.values():
            assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
            assert not any(status.startswith("4") for status in operation["responses"])


async def test_the_description_leads_nowhere_else_and_leaves_no_limit_out(office: Office) -> None:
    schema = (await office.client.get("/openapi.json")).json()
    known = schema["components"]["schemas"]
    places = list(_places(schema))
    references = {each["$ref"].removeprefix("#/components/schemas/") for each in places if "$ref" in each}
    assert len(references) > 100
    assert references <= known.keys()
    assert [each for each in places if {} in (*each.get("oneOf", ()), *each.get("anyOf", ()))] == []
    tolerance, _ = known["GivenPolicy"]["properties"]["tolerance_basis_points"]["anyOf"]
    assert tolerance == {"type": "integer", "minimum": 0, "maximum": 1_000_000}
    refusals = [name for name in known if name.endswith("_Refusal")]
    assert len({str(known[name]) for name in refusals}) == len(refusals) == 2, "two of one name are two"


def _places(part: Any) -> Iterator[dict[str, Any]]:
    """Each object of a document, and those inside it."""
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _places(each)


async def test_a_sign_of_life_needs_no_token(office: Office) -> None:
    assert (await office.client.get("/healthz")).json() == {"status": "ok"}
