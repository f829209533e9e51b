"""Every route says who may call it, and means it: a matrix of all routes and all roles."""

import re
from collections.abc import AsyncIterator, Iterator
from itertools import product
from typing import Any

import httpx2
import msgspec
import pytest
from litestar import Litestar, get
from litestar.handlers import HTTPRouteHandler

from server.app import create_app, intent_handlers
from server.identity.authentication import authorize
from server.identity.principals import ACCESS_KEY, Access, Role
from server.runtime.database import Database
from server.runtime.errors import ProblemError
from server.settings import Settings
from server.web.problems import answer_problem
from sync_protocol.intents import INTENTS
from tests.support.office import Office, bearer, open_office, problem

NOBODY = "00000000-0000-0000-0000-000000000000"
APPLICATION = create_app(Settings(jobs=False))


def routes() -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Every method and path with its handler; Litestar's own OPTIONS answers aside, and HEAD, which is GET without a body."""
    for route in APPLICATION.routes:
        for method, (handler, _) in getattr(route, "route_handler_map", {}).items():
            if method not in {"OPTIONS", "HEAD"}:
                yield method, str(getattr(route, "path_format", route.path)), handler


ROUTES = dict(sorted((f"{method} {path}", handler) for method, path, handler in routes()))
"""In an order that is the same in every process: Litestar has the methods of a path in a set."""
STATED = {name: handler.opt.get(ACCESS_KEY) for name, handler in ROUTES.items()}
CLOSED = {name: access for name, access in STATED.items() if isinstance(access, Access) and not access.public}


@pytest.fixture
async def office(sqlite_database: Database) -> AsyncIterator[Office]:
    async with open_office(sqlite_database) as opened:
        yield opened


async def call(office: Office, name: str, token: str | None = None) -> httpx2.Response:
    method, path = name.split(" ")
    headers = bearer(token) if token else {}
    filled = re.sub(r"\{[^}]+\}", NOBODY, path)
    body: dict[str, Any] = {} if method in {"GET", "DELETE"} else {"json": {}}
    return await office.client.request(method, filled, headers=headers, **body)


def test_the_application_has_routes() -> None:
    assert len(ROUTES) >= 20
    assert {"POST /session", "GET /orders/{order_id}", "POST /sync/push"} <= ROUTES.keys()


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_states_who_may_call_it(name: str) -> None:
    access = STATED[name]
    assert isinstance(access, Access), f"{name}: add opt=allow(…) or opt=PUBLIC"
    assert access.public != bool(access.roles)


def test_few_routes_are_public() -> None:
    public = {name for name, access in STATED.items() if isinstance(access, Access) and access.public}
    assert public == {
        "GET /",
        "GET /docs",
        "GET /docs/rapidoc-min.js",
        "GET /healthz",
        "GET /openapi.json",
        "POST /session",
        "POST /sync/enrol",
    }


async def test_a_closed_route_asks_for_a_token(office: Office) -> None:
    for name in CLOSED:
        response = await call(office, name)
        problem(response, 401, "token_missing")
        assert response.headers["cache-control"] == "no-store"


async def test_a_route_lets_its_roles_in_and_no_other(office: Office) -> None:
    wrong = []
    for (name, access), role in product(CLOSED.items(), Role):
        if name == "DELETE /session":
            continue  # it would end the session of the role
        response = await call(office, name, office.tokens[role])
        code = msgspec.json.decode(response.content).get("code") if response.status_code == 403 else None
        refused = code == "role_forbids"
        if refused == (role in access.roles) or response.status_code in {401, 405, 500}:
            wrong.append(f"{role} {name}: {response.status_code} {response.text[:200]}")
    assert not wrong, "\n".join(wrong)


async def test_a_device_is_let_in_only_where_devices_are(office: Office) -> None:
    tablet = await office.enrol()
    for name, access in CLOSED.items():
        response = await call(office, name, tablet.enrolment.token)
        if Role.REP not in access.roles:
            problem(response, 403, "role_forbids")
        elif not access.devices:
            problem(response, 403, "sign_in_needed")
        else:
            assert response.status_code != 403 or response.json()["code"] != "sign_in_needed"


async def test_a_route_that_states_nothing_is_closed_to_everybody() -> None:
    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return "open"

    app = Litestar([forgotten], guards=[authorize], exception_handlers={ProblemError: answer_problem})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://office") as client:
        problem(await client.get("/forgotten"), 403, "route_closed")


@pytest.mark.parametrize("path", ["/nothing", "/orders/../x", "/schema", "/docs/x", "/sync", "/%00", "/" + "x" * 5000])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_a_problem(office: Office, method: str, path: str) -> None:
    problem(await office.client.request(method, path), 404, "no_such_route")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "HEAD"])
async def test_another_method_is_a_problem_that_names_those_allowed(office: Office, method: str) -> None:
    response = await office.client.request(method, "/orders")
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert "GET" in response.headers["allow"]


def test_every_intent_states_its_roles_and_has_one_handler() -> None:
    assert set(intent_handlers()) == set(INTENTS)
    for intent in INTENTS:
        assert intent.roles
        assert intent.roles <= set(Role), intent


def test_the_description_covers_every_route() -> None:
    described = {
        f"{method.upper()} {path}"
        for path, item in APPLICATION.openapi_schema.to_schema()["paths"].items()
        for method in item
        if method != "head"
    }
    hidden = {name for name, handler in ROUTES.items() if not handler.resolve_include_in_schema()}
    assert described == ROUTES.keys() - hidden
