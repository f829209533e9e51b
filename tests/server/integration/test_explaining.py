"""What `--explain` says is what an import does; and docs/IMPORT.md leaves nothing out that a mapping may say."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import server.app  # noqa: F401  # every slice's tables, as the command line has them
from server.integration.commands import import_command
from server.integration.explaining import explain_folder
from server.integration.mapping import ROW_ORIGINS, As, Condition, Field, Join, Mapping, Source, Target, mapping_of
from server.integration.refusals import Reason
from tests.server.integration.shop import document, write

PAGE = (Path(__file__).parents[3] / "docs" / "IMPORT.md").read_text(encoding="utf-8")


def test_each_step_shows_what_its_rules_read_and_what_came_of_it(tmp_path: Path) -> None:
    rows = explain_folder(write(tmp_path), mapping_of(document()))
    assert [row.entity for row in rows] == [
        *("unit", "product", "product", "customer", "customer"),
        *("sales_order", "sales_order", "sales_order_line", "sales_order_line"),
    ]
    order = {each.field: each for each in rows[5].fields}
    assert (order["number"].rule, order["number"].read, order["number"].value) == (
        "column Order, behind 'X-'",
        {"Order": "10"},
        "X-10",
    )
    assert (order["subtotal_minor"].rule, order["subtotal_minor"].value) == ("column Subtotal, as amount", 1_000)
    assert order["total_minor"].rule == "the sum of subtotal_minor, tax_minor, freight_minor"
    line = {each.field: each for each in rows[7].fields}
    assert line["amount_minor"].rule == "column Amount, as amount, a share of order.Subtotal"
    assert line["amount_minor"].read == {"Amount": "3.33333", "order.Subtotal": "10.0000"}


def test_a_row_that_is_set_aside_is_shown_with_the_rule_that_refused_it(tmp_path: Path) -> None:
    folder = write(tmp_path, customers="No,Name,Limit,Test\n1,Café Mitte,12 apples,\n2,Hotel,,\n1,Again,\n")
    rows = {row.line: row for row in explain_folder(folder, mapping_of(document())) if row.entity == "customer"}
    assert {line: row.fate for line, row in rows.items()} == {2: "malformed_value", 3: "accepted", 4: "malformed_value"}
    faults = {each.field: each.fault for each in rows[2].fields if each.fault}
    assert faults == {"review_above_minor": rows[2].detail}
    assert rows[4].fields == [], "a row of another width has no columns to read"


def test_the_command_explains_without_a_database(tmp_path: Path) -> None:
    write(tmp_path)
    mapping = tmp_path / "units.toml"
    mapping.write_text(
        'name = "shop"\ncurrency = "EUR"\n[sources.units]\nfile = "products.csv"\n'
        '[[targets]]\nentity = "unit"\nfrom = "units"\nkey = ["Sku"]\n'
        'fields.code = { column = "Sku" }\nfields.name = { column = "Name" }\n'
    )
    arguments = [str(tmp_path), "--mapping", str(mapping), "--explain"]
    nowhere = {"ROADBOOK_DATABASE_URL": "sqlite:////nowhere/none.db"}
    done = CliRunner().invoke(import_command, arguments, env=nowhere)
    assert done.exit_code == 0, done.output
    assert "products.csv, line 2 → unit: accepted" in done.output
    as_json = json.loads(CliRunner().invoke(import_command, [*arguments, "--json"], env=nowhere).output)
    assert as_json[0]["fields"][0] == {"field": "code", "rule": "column Sku", "read": {"Sku": "A"}, "value": "A", "fault": ""}


def test_the_schema_of_a_mapping_is_printed() -> None:
    schema = json.loads(CliRunner().invoke(import_command, ["--schema"]).output)
    assert schema["$ref"] == "#/$defs/Mapping"
    assert schema["$defs"]["Source"]["properties"].keys() == {field.encode_name for field in msgspec.structs.fields(Source)}


@pytest.mark.parametrize("part", [Mapping, Source, Join, Target, Field, Condition], ids=lambda part: part.__name__)
def test_the_page_names_all_that_a_mapping_may_say(part: type[msgspec.Struct]) -> None:
    named = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert {field.encode_name for field in msgspec.structs.fields(part)} <= named


def test_the_page_names_each_reason_origin_and_conversion() -> None:
    for word in (*Reason, *As, *ROW_ORIGINS):
        assert f"`{word}`" in PAGE, word
