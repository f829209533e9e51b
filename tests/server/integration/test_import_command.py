"""`roadbook import` as a person or a script runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import server.app  # noqa: F401  # every slice's tables, as the command line has them
from server.integration.commands import import_command

MAPPING = """
name = "shop"
currency = "EUR"
[sources.units]
file = "units.csv"
[[targets]]
entity = "unit"
from = "units"
key = ["Code"]
[targets.fields]
code = { column = "Code" }
name = { column = "Name" }
[targets.tally]
pieces = [{ column = "Code", is = "EA" }]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir()
    (made / "units.csv").write_text("Code,Name,Colour\nEA,Each [one],red\nBX,,blue\nBX,Box,green\n")
    (made / "shop.toml").write_text(MAPPING)
    return made


def invoke(folder: Path, url: str, *options: str) -> Result:
    arguments = [str(folder), "--mapping", str(folder / "shop.toml"), *options]
    return CliRunner().invoke(import_command, arguments, env={"ROADBOOK_DATABASE_URL": url})


def test_the_report_accounts_for_every_row(folder: Path, database_url: str) -> None:
    done = invoke(folder, database_url)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines()]
    assert ["units.csv", "unit", "3", "2", "0", "0", "1"] in lines
    assert ["unit", "2", "0", "0"] in lines
    assert "unit: 1 pieces" in done.output
    assert "units.csv, line 3: Object missing required field `name`" in done.output
    assert "units.csv: not read: Colour" in done.output


def test_a_script_gets_the_report_as_json(folder: Path, sqlite_database_url: str) -> None:
    done = invoke(folder, sqlite_database_url, "--json")
    (step,) = json.loads(done.stdout)["steps"]
    assert (step["read"], step["accepted"], step["set_aside"]) == (3, 2, {"malformed_value": 1})
    assert step["counts"] == {"inserted": 2, "updated": 0, "unchanged": 0}


def test_each_row_that_is_set_aside_can_be_had_as_a_file(folder: Path, sqlite_database_url: str) -> None:
    invoke(folder, sqlite_database_url, "--set-aside", str(folder / "aside.txt"))
    header, row = (folder / "aside.txt").read_text().splitlines()
    assert header == "file,line,entity,reason,detail,key,values"
    assert row.startswith("units.csv,3,unit,malformed_value,Object missing")


def test_a_dry_run_says_that_it_is_one_and_writes_nothing(folder: Path, sqlite_database_url: str) -> None:
    assert "nothing was written" in invoke(folder, sqlite_database_url, "--dry-run").output
    (step,) = json.loads(invoke(folder, sqlite_database_url, "--json").stdout)["steps"]
    assert step["counts"]["inserted"] == 2


def test_a_wrong_mapping_is_one_line_that_names_the_place(folder: Path, sqlite_database_url: str) -> None:
    (folder / "shop.toml").write_text(MAPPING.replace('"Name"', '"Nome"'))
    done = invoke(folder, sqlite_database_url)
    assert done.exit_code == 1
    assert done.output.strip() == (
        "Error: targets[0].fields.name.column: units.csv has no column 'Nome'; it has Code, Name, Colour"
    )
