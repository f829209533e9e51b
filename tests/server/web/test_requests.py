"""What is refused before a slice sees it, and what every answer carries."""

import asyncio
import logging
import sqlite3
from typing import Any

import asyncpg
import httpx2
import pytest
from litestar import Litestar, Request, get, post
from sqlalchemy.exc import DBAPIError

from server.app import create_app
from server.identity.principals import PUBLIC
from server.runtime.clock import IdSource, SystemClock
from server.settings import Settings
from server.web.problems import answer_unexpected
from server.web.requests import BODY_BYTES_MAX, BODY_SECONDS_KEY, BodyDeadline
from tests.support.office import Office, problem

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "JSON"),
        (b"", "missing"),
        (b"null", "null"),
        (b"[]", "array"),
        (b'{"login": "\xff"}', "UTF-8"),
        ('{"login": "x"}'.encode("utf-16"), "UTF-8"),
        (b"[" * 5_000, "deep"),
        (b"[" * 500_000 + b"]" * 500_000, "deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deep"),
        (b'{"login": "a", "login": "b", "password": "c"}', "twice"),
        (b'{"login": "a", "password": NaN}', "NaN"),
        (b'{"login": "a", "password": 1e400}', "number 1e400"),
        (b'{"login": "a", "password": ' + b"9" * 5_000 + b"}", "of 5000 characters"),
        (b'{"login": "\\ud800", "password": "x"}', "surrogate"),
        (b"login=a&password=b", "JSON"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_and_never_a_defect(office: Office, body: bytes, word: str) -> None:
    response = await office.client.post("/session", content=body, headers=JSON)
    assert word in problem(response, 400, "invalid_request")["detail"]


async def test_a_body_over_the_limit_is_refused_announced_or_not(office: Office) -> None:
    async def chunks() -> Any:
        for _ in range(BODY_BYTES_MAX // 65_536 + 2):
            yield b" " * 65_536

    problem(await office.client.post("/session", content=b" " * (BODY_BYTES_MAX + 1), headers=JSON), 413, "too_large")
    problem(await office.client.post("/session", content=chunks(), headers=JSON), 413, "too_large")


async def test_every_bad_field_is_named_with_what_to_do(office: Office) -> None:
    missing = await office.client.post("/session", json={"login": "x"})
    assert problem(missing, 400, "invalid_request")["fields"] == {"password": "is missing; add it"}
    unknown = await office.client.post("/session", json={"login": "x", "password": "y", "admin": True})
    assert problem(unknown, 400, "invalid_request")["fields"] == {"admin": "is not known here; remove it"}


async def test_an_answer_carries_the_request_id_and_is_not_stored(office: Office) -> None:
    given = await office.client.get("/healthz", headers={"X-Request-Id": "from-the-proxy-1"})
    assert given.headers["x-request-id"] == "from-the-proxy-1"
    assert given.headers["cache-control"] == "no-store"
    assert "server" not in given.headers
    unfit = await office.client.get("/nothing", headers={"X-Request-Id": "x" * 65})
    assert len(unfit.headers["x-request-id"]) == 32


async def test_a_defect_is_logged_under_its_request_id_and_tells_the_caller_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @get("/broken", opt=PUBLIC, sync_to_thread=False)
    def broken() -> str:
        raise KeyError("the inside")

    app = Litestar([broken], exception_handlers={Exception: answer_unexpected}, logging_config=None)
    app.state.ids = IdSource(SystemClock())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://office") as client:
        with caplog.at_level(logging.ERROR):
            response = await client.get("/broken", headers={"X-Request-Id": "abc"})
    body = problem(response, 500, "internal_error")
    assert "abc" in body["detail"]
    assert "inside" not in response.text
    assert "abc" in caplog.text
    assert "the inside" in caplog.text


async def test_a_body_that_trickles_in_is_given_up() -> None:
    @post("/slow", opt={**PUBLIC, BODY_SECONDS_KEY: 0.05})
    async def slow(request: Request[Any, Any, Any]) -> int:
        return len(await request.body())

    app = create_app(Settings(jobs=False))
    app.register(slow)

    async def chunks() -> Any:
        yield b"x"
        await asyncio.sleep(5)
        yield b"y"

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://office") as client:
        response = await client.post("/slow", content=chunks())
    problem(response, 408, "slow_body")
    assert response.headers["connection"] == "close"
    assert BodyDeadline.scopes


@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [
        (asyncpg.DeadlockDetectedError("x"), 503, "busy"),
        (sqlite3.OperationalError("database is locked"), 503, "busy"),
        (asyncpg.DiskFullError("x"), 503, "busy"),
        (asyncpg.UndefinedTableError("the inside"), 500, "internal_error"),
    ],
)
async def test_only_what_passes_by_itself_is_worth_another_try(cause: Exception, status: int, code: str) -> None:
    @get("/broken", opt=PUBLIC, sync_to_thread=False)
    def broken() -> str:
        raise DBAPIError("SELECT the inside", {}, cause)

    app = create_app(Settings(jobs=False))
    app.register(broken)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://office") as client:
        response = await client.get("/broken")
    assert problem(response, status, code).get("retry", False) == (status == 503)
    assert ("retry-after" in response.headers) == (status == 503)
    assert "inside" not in response.text
