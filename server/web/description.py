"""Corrections to the description that Litestar makes of the API."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from server.runtime.errors import Problem
from server.web.problems import MEDIA_TYPE

_PROBLEM: Final = {
    "description": "Problem details: what is wrong and what to do about it",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def with_problems(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The description with our problem details in place of the error bodies that Litestar would send."""
    _, components = msgspec.json.schema_components([Problem], ref_template="#/components/schemas/{name}")
    paths = {path: {method: _operation(operation) for method, operation in item.items()} for path, item in schema["paths"].items()}
    parts = dict(schema.get("components", {}))
    parts["schemas"] = {**parts.get("schemas", {}), **components}
    return {**schema, "paths": paths, "components": parts}


def _operation(operation: Any) -> Any:
    if not isinstance(operation, Mapping) or "responses" not in operation:
        return operation
    responses = {status: response for status, response in operation["responses"].items() if not status.startswith(("4", "5"))}
    return {**operation, "responses": {**responses, "default": _PROBLEM}}
