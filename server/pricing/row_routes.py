"""The routes of each kind of rows that the office keeps: list, open, create, create or replace, delete.

They are made of the kind, so that the API describes each with the fields and limits of its row.
"""

from collections.abc import Iterator, Mapping
from inspect import Parameter, Signature
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from server.identity.principals import OFFICE, allow_signed_in
from server.pricing.administered import KINDS, Kind
from server.pricing.service import create_row, delete_row, open_row, page_of, put_row
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.pages import PAGE_MAX, GivenCode, Limit

_OPT: Final = allow_signed_in(*OFFICE)
_TAGS: Final = ("prices",)


def routes_of(kind: Kind) -> Iterator[HTTPRouteHandler]:
    """The routes of one kind; of one that is only looked at, list and open."""
    yield _listing(kind)
    yield _opening(kind)
    if kind.is_written:
        yield _creating(kind)
        yield _replacing(kind)
        yield _deleting(kind)


def _listing(kind: Kind) -> HTTPRouteHandler:
    page = msgspec.defstruct(
        f"{kind.row.__name__}Page",
        [("items", _of(list, kind.row)), ("next", UUID | None)],
        namespace={"__doc__": "A page, in the order of ids. Ask again with `after=<next>` until `next` is null."},
        module=__name__,
        frozen=True,
        kw_only=True,
    )

    async def list_rows(database: Any, after: Any = None, limit: int = PAGE_MAX, **chosen: Any) -> Any:
        async with database.read() as session:
            found = await page_of(session, kind, chosen, after=after, limit=limit)
        return page(items=found, next=found[-1].id if len(found) == limit else None)

    filters = {name: (GivenCode if each is str else _of(FromQuery, each | None), None) for name, each in kind.filters.items()}
    _describe(
        list_rows,
        f"{kind.spoken_plural.capitalize()}. What is given together must hold together.",
        page,
        database=(NamedDependency[Database], Parameter.empty),
        **filters,
        after=(_of(FromQuery, UUID | None), None),
        limit=(Limit, PAGE_MAX),
    )
    return get(kind.path, summary=f"List {kind.spoken_plural}", **_options("list", kind))(list_rows)


def _opening(kind: Kind) -> HTTPRouteHandler:
    async def open_one(row_id: Any, database: Any) -> Any:
        async with database.read() as session:
            return await open_row(session, kind, row_id)

    _describe(open_one, kind.row.__doc__ or "", kind.row, **_ROW_ID, **_DATABASE)
    return get(_path_of_one(kind), summary=f"Open a {kind.spoken}", **_options("open", kind))(open_one)


def _creating(kind: Kind) -> HTTPRouteHandler:
    async def create(data: Any, database: Any, ids: IdSource) -> Any:
        return await _write(create_row, database, kind, data.id or ids.new(), data, ids=ids)

    said = (
        "Create a row (201); without an `id` the server makes one. One that is there as it was sent is answered (200); "
        "one that is there with other values stays as it is (409), and `PUT` replaces it."
    )
    _describe(create, said, _of(Response, kind.row), **_body(kind), **_DATABASE, **_IDS)
    return post(kind.path, summary=f"Create a {kind.spoken}", **_options("create", kind))(create)


def _replacing(kind: Kind) -> HTTPRouteHandler:
    async def replace(row_id: Any, data: Any, database: Any, ids: IdSource) -> Any:
        return await _write(put_row, database, kind, row_id, data, ids=ids)

    said = "Create the row of this id (201), or replace it as a whole (200): a field that is left out has its default."
    _describe(replace, said, _of(Response, kind.row), **_ROW_ID, **_body(kind), **_DATABASE, **_IDS)
    return put(_path_of_one(kind), summary=f"Put a {kind.spoken}", **_options("put", kind))(replace)


def _deleting(kind: Kind) -> HTTPRouteHandler:
    async def remove(row_id: Any, database: Any) -> None:
        async with database.write() as session:
            await delete_row(session, kind, row_id)

    said = "Delete the row. One that others refer to stays, and the answer says who they are (409)."
    _describe(remove, said, None, **_ROW_ID, **_DATABASE)
    return delete(_path_of_one(kind), summary=f"Delete a {kind.spoken}", **_options("delete", kind))(remove)


async def _write(
    writer: Any, database: Database, kind: Kind, row_id: UUID, entered: msgspec.Struct, *, ids: IdSource
) -> Response[Any]:
    async with database.write() as session:
        row, is_new = await writer(session, kind, row_id, entered, ids)
    return Response(row, status_code=201 if is_new else 200)


_ROW_ID: Final[Mapping[str, tuple[Any, Any]]] = {"row_id": (FromPath[UUID], Parameter.empty)}
_DATABASE: Final[Mapping[str, tuple[Any, Any]]] = {"database": (NamedDependency[Database], Parameter.empty)}
_IDS: Final[Mapping[str, tuple[Any, Any]]] = {"ids": (NamedDependency[IdSource], Parameter.empty)}


def _body(kind: Kind) -> Mapping[str, tuple[Any, Any]]:
    return {"data": (_of(JSONBody, kind.entered), Parameter.empty)}


def _describe(function: Any, said: str, answer: Any, **parameters: tuple[Any, Any]) -> None:
    """Give a function the parameters that Litestar reads: of each its type and its default."""
    function.__doc__ = said
    function.__annotations__ = {name: annotation for name, (annotation, _) in parameters.items()} | {"return": answer}
    listed = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in parameters.items()
    ]
    function.__signature__ = Signature(listed, return_annotation=answer)


def _of(generic: Any, parameter: Any) -> Any:
    """A generic type of a type that is known at run time only."""
    return generic[parameter]


def _options(act: str, kind: Kind) -> dict[str, Any]:
    return {"opt": _OPT, "tags": _TAGS, "operation_id": f"{act}_{kind.name}"}


def _path_of_one(kind: Kind) -> str:
    return kind.path + "/{row_id:uuid}"


ROUTES: Final = tuple(route for kind in KINDS for route in routes_of(kind))
