"""What every request must be before a slice sees it: named, in time, and JSON that means one thing only."""

import asyncio
import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from litestar import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from server.runtime.clock import IdSource
from server.runtime.slices import BODY_SECONDS_KEY
from server.web.errors import (
    BodyNotJsonError,
    BodyNotUtf8Error,
    BodyTooDeepError,
    ConstantInBodyError,
    KeyTwiceError,
    NumberInBodyError,
    SlowBodyError,
    UnfitFieldsError,
)

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
BODY_SECONDS_MAX: Final = 30.0
_SHOWN_CHARACTERS: Final = 100
_DIGITS_MAX: Final = 100
"""Of a number; the longest that means anything here has twenty."""
_REQUEST_ID: Final = "roadbook_request_id"
_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON is UTF-8, not too deep and free of duplicate keys: a proxy and we read the same thing."""

    async def json(self) -> Any:
        check_json(await self.body())
        try:
            return await super().json()
        except RecursionError as error:
            raise BodyTooDeepError from error


def check_json(body: bytes) -> None:
    """Raises InvalidRequestError for JSON that no two readers agree on, or that a parser could fall over."""
    if not body:
        return
    try:
        json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_refuse_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_refuse_endless,
            parse_float=_refuse_endless,
        )
    except UnicodeDecodeError as error:
        raise BodyNotUtf8Error(error.start) from error
    except RecursionError as error:
        raise BodyTooDeepError from error
    except ValueError as error:
        raise BodyNotJsonError(str(error)) from error


def _refuse_duplicates(pairs: Sequence[tuple[str, Any]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise KeyTwiceError(next(key for key in keys if keys.count(key) > 1))


def _refuse_endless(number: str) -> float:
    if len(number) > _DIGITS_MAX or math.isinf(found := float(number)):
        raise NumberInBodyError(number)
    return found


def _refuse_constant(name: str) -> None:
    raise ConstantInBodyError(name)


class BodyDeadline(ASGIMiddleware):
    """A body arrives in time, or the connection is given up. A route may state other `body_seconds` in its `opt`.

    A query is checked before the body is waited for.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        check_query(scope)
        seconds = float(scope["route_handler"].opt.get(BODY_SECONDS_KEY, BODY_SECONDS_MAX))
        deadline = asyncio.get_running_loop().time() + seconds
        arrived = False

        async def receive_in_time() -> Any:
            nonlocal arrived
            if arrived:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise SlowBodyError(seconds) from error
            arrived = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        await next_app(scope, receive_in_time, send)


def check_query(scope: Scope) -> None:
    """Raises UnfitFieldsError for a parameter that the route does not describe, or that is there twice where one counts.

    A filter that is misspelt and ignored would answer with everything. Pages that are not described take any query.
    """
    if not scope["query_string"]:
        return
    described = (scope["litestar_app"].openapi_schema.paths or {}).get(scope["path_template"])
    operation: Operation | None = getattr(described, str(scope.get("method")).lower(), None)
    if operation is None:
        return
    parameters = [each for each in operation.parameters or () if isinstance(each, Parameter) and each.param_in == "query"]
    known = {each.name: isinstance(each.schema, Schema) and each.schema.type == OpenAPIType.ARRAY for each in parameters}
    given = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
    listed = f"known are {', '.join(sorted(known))}" if known else "this route takes none"
    wrong = {name[:_SHOWN_CHARACTERS]: f"is no parameter here; {listed}" for name in given if name not in known}
    wrong |= {name: "is given twice; give it once" for name, is_list in known.items() if given.count(name) > 1 and not is_list}
    if wrong:
        raise UnfitFieldsError(wrong, "the query does not fit")


def request_id(scope: Scope) -> str:
    """The request's id: the caller's `X-Request-Id` where it is harmless, else one of ours."""
    state = scope["state"]
    if _REQUEST_ID not in state:
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
        ids = cast("IdSource", scope["litestar_app"].state.ids)
        state[_REQUEST_ID] = given if _GIVEN_ID.fullmatch(given) else ids.new().hex
    return str(state[_REQUEST_ID])


async def add_headers(message: Message, scope: Scope) -> None:
    """What every response carries. What a route says of its own caching stays."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    headers["X-Request-Id"] = request_id(scope)
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
