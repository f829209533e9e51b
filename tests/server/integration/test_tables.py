"""The same shop however its system writes it down: each way gives the very rows of the plain one, and so nothing new."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.integration import archives
from server.integration.archives import as_folder
from server.integration.importer import import_folder
from server.integration.mapping import MappingError, mapping_of
from server.integration.numbers import Style
from server.integration.refusals import Reason
from server.integration.tables import SourceError, cell_text
from server.runtime.database import Database
from tests.server.integration.shop import FILES, document, write
from tests.support.databases import open_database

_NAMES = ("products", "customers", "orders", "lines")
_NUMBERS = {"Limit", "Subtotal", "Price", "Discount", "Amount"}


@pytest.fixture
async def sqlite(sqlite_database_url: str) -> AsyncIterator[Database]:
    opened = open_database(sqlite_database_url)
    yield opened
    await opened.close()


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(FILES[f"{name}.csv"])))


def localised(column: str, text: str) -> str:
    """As a German system writes it."""
    if column in _NUMBERS and text:
        whole, _, part = text.partition(".")
        grouped = f"{int(whole):,}".replace(",", ".")
        return f"{grouped},{part} €" if part else grouped
    if column == "Date":
        moment = datetime.fromisoformat(text)
        return moment.strftime("%d.%m.%Y" if len(text) == len("2026-01-05") else "%d.%m.%Y %H:%M")
    return text


def german(folder: Path, found: dict[str, Any]) -> None:
    """Windows' letters, semicolons, decimal commas, dates by the day, no names of columns and three lines of something else."""
    for name in _NAMES:
        rows = [[localised(column, text) for column, text in row.items()] for row in table(name)]
        with (folder / f"{name}.txt").open("w", encoding="cp1252", newline="") as file:
            file.write("Liste\r\nvom 1.1.\r\n\r\n")
            csv.writer(file, delimiter=";").writerows(rows)
        found["sources"][name] |= {
            "file": f"{name}.txt",
            "encoding": "cp1252",
            "delimiter": ";",
            "columns": list(table(name)[0]),
            "skip_lines": 3,
            "decimal": ",",
            "thousands": ".",
            "dates": ["%d.%m.%Y", "%d.%m.%Y %H:%M"],
        }


def wide(folder: Path, found: dict[str, Any]) -> None:
    """UTF-16 with tabs and apostrophes for quotes."""
    for name in _NAMES:
        with (folder / f"{name}.tsv").open("w", encoding="utf-16", newline="") as file:
            csv.writer(file, delimiter="\t", quotechar="'", quoting=csv.QUOTE_ALL).writerows(
                [list(table(name)[0]), *(list(row.values()) for row in table(name))]
            )
        found["sources"][name] |= {"file": f"{name}.tsv", "encoding": "utf-16", "delimiter": "\t", "quote": "'"}


def workbook(folder: Path, found: dict[str, Any]) -> None:
    """One workbook, a sheet for each table, with numbers and dates as such."""
    made = openpyxl.Workbook()
    made.active.title = "Read me"
    for name in _NAMES:
        sheet = made.create_sheet(name)
        sheet.append(list(table(name)[0]))
        for row in table(name):
            sheet.append([_typed(column, text) for column, text in row.items()])
        found["sources"][name] |= {"file": "shop.xlsx", "sheet": name}
    made.save(folder / "shop.xlsx")


def _typed(column: str, text: str) -> Any:
    if column == "Date":
        return datetime.fromisoformat(text)
    return float(text) if column in _NUMBERS and text else text or None


def json_lines(folder: Path, found: dict[str, Any]) -> None:
    """Objects with what they have, nested where the column says so."""
    for name in _NAMES:
        lines = [json.dumps({column: _loose(column, text) for column, text in row.items() if text}) for row in table(name)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n\n")
        found["sources"][name] |= {"file": f"{name}.jsonl"}


def _loose(column: str, text: str) -> Any:
    return float(text) if column in _NUMBERS else text


@pytest.mark.parametrize("written", [german, wide, workbook, json_lines])
async def test_each_way_to_write_a_shop_down_gives_the_same_rows(
    sqlite: Database, tmp_path: Path, written: Callable[[Path, dict[str, Any]], None]
) -> None:
    first = await import_folder(sqlite, write(tmp_path), mapping_of(document()))
    other, found = tmp_path / "other", document()
    other.mkdir()
    written(other, found)
    second = await import_folder(sqlite, other, mapping_of(found))
    assert second.set_aside == 0, [row for step in second.steps for row in step.samples]
    assert second.accepted == first.accepted
    assert {(counts.inserted, counts.updated) for counts in second.counts.values()} == {(0, 0)}


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("inside", ["", "export/"])
async def test_an_archive_is_read_as_the_folder_in_it(sqlite: Database, tmp_path: Path, suffix: str, inside: str) -> None:
    path = tmp_path / f"shop{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, text in FILES.items():
                zipped.writestr(f"{inside}{name}", text)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, text in FILES.items():
                entry = tarfile.TarInfo(f"{inside}{name}")
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
    with as_folder(path) as folder:
        report = await import_folder(sqlite, folder, mapping_of(document()))
    assert report.accepted["sales_order_line"] == 4
    assert not folder.exists()


def test_an_archive_writes_nothing_elsewhere_and_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.tar"
    with tarfile.open(bad, "w") as tar:
        tar.addfile(tarfile.TarInfo("../../outside.csv"))
    with pytest.raises(SourceError, match="cannot be unpacked"), as_folder(bad):
        pass
    many = tmp_path / "many.zip"
    with zipfile.ZipFile(many, "w") as zipped:
        for number in range(3):
            zipped.writestr(f"{number}.csv", "A")
    monkeypatch.setattr(archives, "FILES_MAX", 2)
    with pytest.raises(SourceError, match="more than 2 files"), as_folder(many):
        pass
    with pytest.raises(SourceError, match="is not there"), as_folder(tmp_path / "none.zip"):
        pass


async def test_a_line_that_cannot_be_read_is_set_aside_and_the_others_are_not(sqlite: Database, tmp_path: Path) -> None:
    found = document()
    found["sources"]["products"] = {"file": "products.jsonl", "columns": ["State"]}
    write(tmp_path)
    lines = ['{"Sku": "A", "Name": "Apple"}', "{", "[1]", '{"Sku": "B", "Name": "Bread", "Parent": null, "x": {"y": 1.50}}']
    (tmp_path / "products.jsonl").write_text("\n".join(lines))
    report = await import_folder(sqlite, tmp_path, mapping_of(found))
    step = next(each for each in report.steps if each.entity == "product")
    assert (step.read, step.accepted, step.set_aside) == (4, 2, {Reason.MALFORMED_VALUE: 2})
    assert [(row.line, row.detail.partition(":")[0]) for row in step.samples] == [
        (2, "the line is no JSON"),
        (3, "the line is no JSON object"),
    ]


async def test_a_byte_that_is_no_text_sets_its_row_aside(sqlite: Database, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "products.csv").write_bytes(b"Sku,Name,State,Parent\nA,App\0le,A,\nB,Br\xffead,D,A\nC,Corn,A,\n")
    report = await import_folder(sqlite, tmp_path, mapping_of(document()))
    step = next(each for each in report.steps if each.entity == "product")
    assert (step.accepted, [row.line for row in step.samples]) == (1, [2, 3])


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"file": "none.csv"}, "cannot read"),
        ({"file": "products.csv", "encoding": "klingon"}, "cannot read"),
        ({"file": "products.csv", "format": "xlsx"}, "no workbook that can be read"),
    ],
)
async def test_a_file_that_cannot_be_read_is_named(sqlite: Database, tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    found = document()
    found["sources"]["products"] = changed
    with pytest.raises(SourceError, match=problem):
        await import_folder(sqlite, write(tmp_path), mapping_of(found))


async def test_a_column_that_is_there_twice_is_named(sqlite: Database, tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="two columns 'Name'"):
        await import_folder(sqlite, write(tmp_path, products="Sku,Name,Name\n"), mapping_of(document()))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1.234,50", "1234.50"),
        ("1234,5", "1234.5"),
        ("12,50-", "-12.50"),
        ("(12,50)", "-12.50"),
        ("€ -12", "-12"),
        ("12,50 €", "12.50"),
        ("\N{MINUS SIGN}3", "-3"),
        ("1.2345,00", None),
        ("1,234.50", None),
        ("1.23", None),
        ("(-1)", None),
        ("12,", None),
    ],
)
def test_a_number_in_a_local_style_is_read_or_left_alone(text: str, plain: str | None) -> None:
    assert Style(",", ".").plain(text) == (text if plain is None else plain)


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=4, allow_nan=False), st.sampled_from([".", "'", " ", ""]))
def test_whatever_is_written_in_a_style_is_read_back(number: Decimal, thousands: str) -> None:
    whole, _, part = f"{abs(number):,.4f}".partition(".")
    text = f"{'-' if number < 0 else ''}{whole.replace(',', thousands)},{part}"
    assert Decimal(Style(",", thousands).plain(text)) == number


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=5, allow_nan=False))
def test_a_number_of_a_spreadsheet_is_what_was_typed(number: Decimal) -> None:
    assert Decimal(cell_text(float(number))) == number
