"""Corrections to the description that Litestar makes of the API."""

import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from server.runtime.errors import Problem
from server.web.problems import MEDIA_TYPE

_REF: Final = "#/components/schemas/"
_PROBLEM: Final = {
    "description": "Problem details: what is wrong and what to do about it",
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}},
}


def described(app: Litestar) -> dict[str, Any]:
    """The description of an application's API, with our problem details in place of the error bodies that Litestar would send.

    What a struct takes and gives is described by msgspec, which reads and writes it: of what may be null Litestar loses a least
    value of 0, and it does not say that what is not declared is refused.
    """
    schema = app.openapi_schema.to_schema()
    paths = {path: {method: _operation(operation) for method, operation in item.items()} for path, item in schema["paths"].items()}
    parts = dict(schema.get("components", {}))
    parts["schemas"] = {**parts.get("schemas", {}), **_of_structs(app, parts.get("schemas", {}))}
    return {**schema, "paths": paths, "components": parts}


def _operation(operation: Any) -> Any:
    if not isinstance(operation, Mapping) or "responses" not in operation:
        return operation
    responses = {status: response for status, response in operation["responses"].items() if not status.startswith(("4", "5"))}
    return {**operation, "responses": {**responses, "default": _PROBLEM}}


def _of_structs(app: Litestar, known: Collection[str]) -> dict[str, Any]:
    """What msgspec says of the structs, under the names that Litestar gave them."""
    structs = {kind for each in _annotations(app) for kind in _structs_of(each)}
    _, components = msgspec.json.schema_components([Problem, *structs], ref_template=f"{_REF}{{name}}")
    text = msgspec.json.encode(components).decode()
    for name in components:
        if "." in name:  # of two of one name: Litestar leaves out what their modules begin with alike
            flat = name.replace(".", "_")
            given = next((each for each in known if "_" in each and flat.endswith(each)), name)
            text = text.replace(f'"{_REF}{name}"', f'"{_REF}{given}"').replace(f'"{name}":', f'"{given}":')
    found: dict[str, Any] = msgspec.json.decode(text)
    return {name: schema for name, schema in found.items() if name in known or name == Problem.__name__}


def _annotations(app: Litestar) -> Iterator[Any]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler):
                signature = handler.parsed_fn_signature
                yield signature.return_type.annotation
                if "data" in signature.parameters:
                    yield signature.parameters["data"].annotation


def _structs_of(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for each in typing.get_args(annotation):
        yield from _structs_of(each)
