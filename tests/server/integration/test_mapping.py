"""A mapping that is wrong says where, and what it takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.integration.commands import MAPPINGS
from server.integration.importer import import_folder
from server.integration.mapping import MappingError, load_mapping, mapping_of
from server.runtime.database import Database
from tests.server.integration.shop import document, target, write
from tests.support.databases import open_database


def fields(found: dict[str, Any], entity: str) -> dict[str, Any]:
    told = target(found, entity)["fields"]
    assert isinstance(told, dict)
    return told


def change(entity: str, field: str, value: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda found: fields(found, entity).update({field: value})


@pytest.mark.parametrize(
    ("wrong", "path", "problem"),
    [
        (lambda found: found.pop("name"), "mapping", "missing required field `name`"),
        (lambda found: found["sources"].update(x={}), "sources.x", "either `file` or `rows`"),
        (lambda found: found["sources"].update(x={"file": "x", "colour": 1}), "sources.x", "unknown field `colour`"),
        (change("unit", "name", {"column": "name", "as": "float"}), "targets[0].fields.name.as", "'float'"),
        (change("unit", "name", {"column": "name", "constant": "x"}), "targets[0].fields.name", "exactly one of"),
        (change("unit", "name", {}), "targets[0].fields.name", "exactly one of"),
        (change("unit", "name", {"reference": "unit"}), "targets[0].fields.name", "come together"),
        (change("unit", "name", {"column": "name", "as": "instant"}), "targets[0].fields.name", "`zone`"),
        (
            lambda found: target(found, "unit").update(where=[{"column": "code", "is": "a", "empty": True}]),
            "targets[0].where[0]",
            "a condition has exactly one of",
        ),
    ],
)
def test_what_the_structure_refuses_is_named_by_its_path(
    wrong: Callable[[dict[str, Any]], object], path: str, problem: str
) -> None:
    found = document()
    wrong(found)
    with pytest.raises(MappingError) as refused:
        mapping_of(found)
    assert refused.value.path == path
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "path", "problem"),
    [
        (lambda found: target(found, "unit").update(entity="units"), "targets[0].entity", "'units' is no entity"),
        (lambda found: target(found, "unit").update({"from": "nowhere"}), "sources.nowhere", "no such source; there are"),
        (change("unit", "colour", {"constant": "x"}), "targets[0].fields.colour", "unit has no such field; it has code, name"),
        (lambda found: fields(found, "unit").pop("name"), "targets[0].fields", "unit needs name"),
        (change("unit", "name", {"column": "nome"}), "targets[0].fields.name.column", "has no column 'nome'; it has code, name"),
        (
            change("product", "category_id", {"reference": "category", "key": ["Sku"]}),
            "targets[1].fields.category_id.reference",
            "'category' is filled by no step before",
        ),
        (
            change("sales_order", "captured_at_ms", {"column": "Date", "as": "instant", "zone": "Berlin"}),
            "targets[3].fields.captured_at_ms.zone",
            "'Berlin' is not an IANA time zone",
        ),
        (
            change("sales_order", "total_minor", {"total_of": ["nothing"]}),
            "targets[3].fields.total_minor.total_of",
            "'nothing' is no field of this target",
        ),
        (
            lambda found: target(found, "sales_order").update(totals={"net": "Subtotal"}),
            "targets[3].totals.net",
            "is no field of this target",
        ),
        (
            lambda found: target(found, "sales_order_line").pop("group"),
            "targets[4].fields.line_number",
            "need the target's `group`",
        ),
        (lambda found: target(found, "unit").update(shared=["all"]), "targets[0].shared[0]", "'all' is not in [shared]"),
        (
            lambda found: target(found, "unit").update(where=[{"column": "code", "above": "x"}]),
            "targets[0].where[0].above",
            "not a decimal",
        ),
        (
            lambda found: found["sources"]["lines"]["join"]["order"].update(on=["Order", "Line"]),
            "sources.lines.join.order.on",
            "has 2 columns; the key of orders has 1",
        ),
        (
            lambda found: found["sources"]["orders"].update(join={"self": {"source": "orders", "on": ["Order"]}}),
            "sources.orders",
            "joins in a circle: orders → orders",
        ),
    ],
)
async def test_what_the_files_or_entities_contradict_is_named_by_its_path(
    sqlite_database_url: str, tmp_path: Path, wrong: Callable[[dict[str, Any]], object], path: str, problem: str
) -> None:
    found = document()
    wrong(found)
    database = open_database(sqlite_database_url)
    try:
        refused = await refusal(database, tmp_path, found)
    finally:
        await database.close()
    assert refused.path == path
    assert problem in str(refused)


async def refusal(database: Database, folder: Path, found: dict[str, Any]) -> MappingError:
    with pytest.raises(MappingError) as refused:
        await import_folder(database, write(folder), mapping_of(found))
    return refused.value


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "our.toml"
    path.write_text("name = ")
    with pytest.raises(MappingError, match=r"our\.toml: .*TOML"):
        load_mapping(path)


def test_the_mapping_that_is_shipped_can_be_read() -> None:
    assert load_mapping(MAPPINGS / "adventureworks.toml").name == "adventureworks"
