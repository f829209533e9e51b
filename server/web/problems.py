"""Every failure as RFC 9457 problem details, whoever raised it: a slice, Litestar, msgspec or nobody who meant to."""

import logging
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from sqlalchemy.exc import SQLAlchemyError

from server.identity.errors import TooManyAttemptsError
from server.runtime.errors import Problem, ProblemError
from server.runtime.outages import DatabaseBusyError, is_collision, is_outage
from server.sync.images.errors import RangeNotSatisfiableError
from server.web.errors import BodyTooLargeError, UnfitFieldsError
from server.web.requests import request_id

MEDIA_TYPE: Final = "application/problem+json"
_log = logging.getLogger(__name__)

_CODES: Final = {
    HTTPStatus.BAD_REQUEST: ("invalid_request", "Invalid request"),
    HTTPStatus.NOT_FOUND: ("no_such_route", "No such route"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "Method not allowed"),
}
_REMEDIES: Final = (
    (re.compile(r"^Object missing required field `(?P<field>[^`]+)`"), "is missing; add it"),
    (re.compile(r"^Object contains unknown field `(?P<field>[^`]+)`"), "is not known here; remove it"),
    (re.compile(r"^'(?P<field>data)'$"), "is missing; send a JSON object"),
    (re.compile(r"^Missing required query parameter '(?P<field>[^']+)'"), "is missing; add it to the query"),
    (re.compile(r"^Missing required header parameter '(?P<field>[^']+)'"), "is missing; send it as a header"),
)
_SENTENCES: Final = (
    (re.compile(r"^Expected `str` matching regex '\^\[\^\\+x00"), "contains a control character; remove it"),
    (
        re.compile(r"^Expected `str` matching regex '\^\(\[0-9a-f\]\{2\}\)"),
        "is not in hexadecimal digits; send two lower-case ones for each byte",
    ),
    (re.compile(r"^Invalid RFC3339 encoded datetime"), "is not a time; write it like 2026-11-22T00:00:00Z"),
    (
        re.compile(r"^Expected `str` matching regex '\^\[A-Z\]\{3\}\$'"),
        "is no currency; give its three capital letters of ISO 4217, such as EUR",
    ),
    (re.compile(r"^Invalid UUID"), "is not an id; give a UUID like 01a20197-2d5b-7c19-88ae-f62dff50c45c"),
)
_ENUM: Final = re.compile(r"^Invalid enum value (?P<value>.*)$", re.DOTALL)
_AT: Final = re.compile(r" - at `(?P<place>\$[^`]*)`$")


def answer_problem(_request: Request[Any, Any, Any], error: ProblemError) -> Response[Problem]:
    """An error that says what is wrong by itself."""
    return _response(error.problem(), _headers_of(error))


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """What Litestar refuses: no route, no such method, a body that is too large or does not fit."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unexpected(request, error)
    if isinstance(error, ValidationException):
        return answer_problem(request, _invalid(error, request))
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return answer_problem(request, BodyTooLargeError())
    unfit = _unfit_path(request) if error.status_code == HTTPStatus.NOT_FOUND else {}
    if unfit:
        return answer_problem(request, UnfitFieldsError(unfit, error.detail))
    status = HTTPStatus(error.status_code)
    code, title = _CODES.get(status, (status.name.lower(), status.phrase))
    detail = _details(request, status) or error.detail
    return _response(_problem(status, code, title, detail), error.headers or {})


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """A defect: the log has it under the request's id; the caller gets the id and nothing of the inside."""
    identifier = request_id(request.scope)
    _log.error("request %s failed: %s %s", identifier, request.method, request.scope["path"], exc_info=error)
    detail = f"the server failed on this request; report it with the request id {identifier}"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _response(_problem(status, ProblemError.code, ProblemError.title, detail), {})


def answer_database_error(request: Request[Any, Any, Any], error: SQLAlchemyError) -> Response[Problem]:
    """What passes by itself, a deadlock or a database that is busy or away, is a 503; anything else is a defect."""
    if not (is_collision(error) or is_outage(error)):
        return answer_unexpected(request, error)
    _log.warning("request %s was not served: %s", request_id(request.scope), error)
    return answer_problem(request, DatabaseBusyError(error))


def _problem(status: HTTPStatus, code: str, title: str, detail: str) -> Problem:
    return Problem(type=f"urn:roadbook:problem:{code}", title=title, status=int(status), detail=detail, code=code)


def _details(request: Request[Any, Any, Any], status: HTTPStatus) -> str:
    path = request.scope["path"][:200]
    return {
        HTTPStatus.NOT_FOUND: f"there is nothing at {path}; /docs lists every route",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{path} does not take {request.method}; /docs lists what it takes",
    }.get(status, "")


def _unfit_path(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The parts of a path that are no ids, where with ids in their place it would be a route's."""
    given = request.scope["path"].strip("/").split("/")
    for route in request.app.routes:
        parts = route.path_components
        if len(parts) != len(given):
            continue
        pairs = list(zip(parts, given, strict=True))
        if all(part == text for part, text in pairs if isinstance(part, str)):
            return {
                part.name: f"{text[:100]!r} {_remedy('Invalid UUID')}"
                for part, text in pairs
                if not isinstance(part, str) and part.type is UUID
            }
    return {}


def _invalid(error: ValidationException, request: Request[Any, Any, Any]) -> UnfitFieldsError:
    """The fields that do not fit, each with what to do; a path such as `lines[0].quantity` says where."""
    found = [each for each in error.extra or [] if isinstance(each, Mapping)]
    handler = request.scope["route_handler"]
    fields = dict(_field(_sent_as(handler, str(each.get("key") or "")), str(each.get("message", ""))) for each in found)
    if not found and error.detail.startswith("Missing required"):
        fields = dict([_field("", error.detail)])
    for field, remedy in fields.items():
        if unknown := _ENUM.match(remedy):
            allowed = ", ".join(_allowed(handler, field)) or "the values in /docs"
            fields[field] = f"{unknown['value']} is none of {allowed}; give one of them"
    return UnfitFieldsError(fields, error.detail)


def _sent_as(handler: object, name: str) -> str:
    """What a parameter of a route is called in a request: a header has a name of its own."""
    known = handler.parsed_fn_signature.parameters if isinstance(handler, HTTPRouteHandler) else {}
    said = getattr(known[name].kwarg_definition, "header", None) if name in known else None
    return said or name


def _field(key: str, message: str) -> tuple[str, str]:
    """A field's path and remedy from a message of msgspec's."""
    place = _AT.search(message)
    path = place["place"].removeprefix("$").removeprefix(".") if place else ""
    text = _AT.sub("", message)
    if key and not path.startswith(key) and key != "data":
        path = f"{key}.{path}" if path and not path.startswith("[") else f"{key}{path}"
    for pattern, remedy in _REMEDIES:
        named = pattern.match(text)
        if named:
            field = named["field"].replace("data", "body")
            return (f"{path}.{field}" if path and not path.endswith(field) else path or field), remedy
    return path or "body", _remedy(text)


def _remedy(text: str) -> str:
    """A sentence of ours for one of msgspec's; that of an enum is completed where its values are known."""
    if _ENUM.match(text):
        return text
    said = next((sentence for pattern, sentence in _SENTENCES if pattern.match(text)), None)
    return said or f"{text[:1].lower()}{text[1:]}; correct it"


def _allowed(handler: object, field: str) -> Iterator[str]:
    """The values of the enum at this place of the route's query or body; none where it is no enum."""
    if not isinstance(handler, HTTPRouteHandler):
        return
    parameters = handler.parsed_fn_signature.parameters
    first, *rest = re.findall(r"[^.\[\]]+", field) or [""]
    inside = [first, *rest] if first not in parameters else rest
    start = parameters.get(first) or parameters.get("data")
    found = [msgspec.inspect.type_info(start.annotation)] if start else []
    for name in inside:
        found = [deeper for each in found for deeper in _inside(each, name)]
    for each in found:
        for kind in each.types if isinstance(each, msgspec.inspect.UnionType) else (each,):
            if isinstance(kind, msgspec.inspect.EnumType):
                yield from (str(member.value) for member in kind.cls)


def _inside(kind: msgspec.inspect.Type, name: str) -> Iterator[msgspec.inspect.Type]:
    """The types of a field of a struct, or of the items of an array."""
    if isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            yield from _inside(each, name)
    elif isinstance(kind, msgspec.inspect.StructType):
        yield from (each.type for each in kind.fields if each.encode_name == name)
    elif isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        yield kind.item_type


def _headers_of(error: ProblemError) -> dict[str, str]:
    if isinstance(error, TooManyAttemptsError):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, RangeNotSatisfiableError):
        return {"Content-Range": f"bytes */{error.size}"}
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": "1"}
    if error.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if error.status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
        return {"Connection": "close"}
    return {}


def _response(problem: Problem, headers: Mapping[str, str]) -> Response[Problem]:
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers))
