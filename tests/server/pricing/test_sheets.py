"""Prices as CSV and XLSX: what goes out comes back, and what is rubbish is named, line by line."""

import io
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xlsxwriter import Workbook

from server.pricing import sheets, xlsx_reading
from server.pricing.csv_sheets import read_csv, write_csv
from server.pricing.errors import PriceSheetUnreadableError
from server.pricing.price_texts import text_of, unit_price_of
from server.pricing.sheets import Sheet, SheetLine, read_sheet, written
from server.pricing.xlsx_reading import read_xlsx
from server.pricing.xlsx_writing import write_xlsx

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-2",
    "@SUM(A1)",
    "=1+1",
    "'=1",
    "''",
    "'",
    "\uff1d1",
    "http://x.test",
    "0012",
    "1e5",
    "TRUE",
]
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufffe\uffff"), max_size=20
)
SKU = TEXT.map(sheets.normal_text).filter(lambda text: text and text.isprintable()) | st.sampled_from(FORMULAS)
LINES = st.lists(
    st.builds(
        SheetLine,
        sku=SKU,
        min_quantity=st.integers(1, 10**7),
        per_quantity=st.integers(1, 10**7),
        unit_price=st.none() | st.integers(0, 10**13),
        name=TEXT.map(str.strip),
    ),
    unique_by=lambda line: line.key,
    max_size=8,
)


def workbook(rows: Iterable[Iterable[Any]], **options: Any) -> bytes:
    """A workbook as another program saves it: numbers are numbers."""
    book = openpyxl.Workbook(**options)
    sheet = book.active if not options else book.create_sheet()
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    body = io.BytesIO()
    book.save(body)
    return body.getvalue()


def csv_text(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


def without_names(sheet: Sheet) -> list[SheetLine]:
    return list(sheet.lines.values())


@given(lines=LINES, digits=st.sampled_from(["EUR", "JPY", "BHD"]))
def test_what_is_written_is_read_and_is_written_the_same(lines: list[SheetLine], digits: str) -> None:
    rows = list(written(lines, digits, with_actions=True))
    nameless = [
        SheetLine(**{name: getattr(line, name) for name in ("sku", "min_quantity", "per_quantity", "unit_price")}) for line in lines
    ]
    for body, read in ((write_csv(rows), read_csv), (write_xlsx(rows), read_xlsx)):
        cells = list(read(body))
        found = read_sheet(cells)
        assert found.refusals == []
        assert list(found.lines.values()) == nameless
        padded = [(*row, *[""] * (len(rows[0]) - len(row))) for _, row in cells]
        assert padded == [tuple(cell.strip() if place else cell for place, cell in enumerate(row)) for row in rows]
    assert write_csv(list(cells) for _, cells in read_csv(write_csv(rows))) == write_csv(rows)
    assert write_xlsx(rows) == write_xlsx(rows), "the same prices are the same file"


@given(lines=LINES)
def test_another_program_reads_texts_where_a_formula_could_be(lines: list[SheetLine]) -> None:
    rows = list(written(lines, "EUR", with_actions=True))
    sheet = openpyxl.load_workbook(io.BytesIO(write_xlsx(rows))).active
    assert sheet is not None
    read = [list(row) for row in sheet.iter_rows()]
    assert [[str(cell.value or "") for cell in row] for row in read] == [list(row) for row in rows]
    assert {cell.data_type for row in read for cell in row} <= {"s", "n"}
    assert {cell.data_type for row in read[1:] for cell in row[3:4] if cell.value is not None} <= {"s"}, "a price is text"


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_gives_a_spreadsheet_no_formula(text: str) -> None:
    assert not write_csv([(text,)]).lstrip(b'"').startswith((b"=", b"+", b"-", b"@", "\uff1d".encode()))
    assert [cells for _, cells in read_csv(write_csv([(text,)]))] == [[text]]


@given(unit_price=st.integers(0, 10**13), digits=st.sampled_from([0, 2, 3]))
def test_a_price_survives_its_text(unit_price: int, digits: int) -> None:
    text = text_of(unit_price, digits)
    assert unit_price_of(text) == unit_price
    assert unit_price_of(f"{text}000" if "." in text else f"{text}.000") == unit_price
    assert "." not in text or len(text.partition(".")[2]) >= digits


@pytest.mark.parametrize(
    ("text", "unit_price"),
    [("12.50", 12_5000), ("0", 0), ("007", 7_0000), ("1.23450000", 1_2345), ("0.0001", 1)],
)
def test_a_price_is_read_exactly(text: str, unit_price: int) -> None:
    assert unit_price_of(text) == unit_price


@pytest.mark.parametrize("text", ["", "1,5", "1.23456", ".5", "5.", "-1", "+1", "1e3", "NaN", "\u0661", "1 000", "0x10", "1" * 21])
def test_what_is_no_price_is_none(text: str) -> None:
    assert unit_price_of(text) is None


def test_the_numbers_of_other_programs_are_the_decimals_that_were_typed() -> None:
    prices = [12.5, 1.1, 0.07, 1234.5678, 100, 0.1 + 0.2, 19.99]
    body = workbook([["SKU", "Price", "Min quantity"], *([f"A{n}", price, 10] for n, price in enumerate(prices))])
    found = read_sheet(read_xlsx(body))
    assert [line.unit_price for line in found.lines.values()] == [12_5000, 1_1000, 700, 1234_5678, 100_0000, 3000, 19_9900]
    assert {line.min_quantity for line in found.lines.values()} == {10}
    excel = shared_texts([["sku", "price"], [1001, 1.1]])
    seventeen = _replaced(excel, SHEET_PART, b"<v>1.1</v>", b"<v>1.1000000000000001</v>")
    assert [(line.sku, line.unit_price) for line in read_sheet(read_xlsx(seventeen)).lines.values()] == [("1001", 1_1000)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_csv_of_other_countries_and_systems_is_read(separator: str, mark: bytes, newline: str) -> None:
    text = newline.join(separator.join(cells) for cells in (["Sku", "PRICE"], ["", ""], ["A", "12.50"], ["Ä", "1"])) + newline
    found = read_sheet(read_csv(mark + text.encode()))
    assert [(line.sku, line.unit_price) for line in found.lines.values()] == [("A", 12_5000), ("Ä", 1_0000)]
    assert list(found.lines) == [3, 4], "lines are counted as an editor counts them"


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        (",1,1,5,set", "sku", "empty"),
        ("A,0,1,5,set", "min_quantity", "from 1 to 10000000"),
        ("A,1.5,1,5,set", "min_quantity", "whole number"),
        ("A,1,10000001,5,set", "per_quantity", "whole number"),
        ('A,1,1,"12,50",set', "price", "12.50"),
        ("A,1,1,12.34567,set", "price", "at most four"),
        ("A,1,1,-5,set", "price", "no price"),
        ("A,1,1,1000000001,set", "price", "above 1000000000"),
        ("A,1,1,,set", "price", "no price"),
        ("A,1,1,=B2*2,set", "price", "formula"),
        ("A,1,1,5,end", "price", "beside the action end"),
        ("A,1,1,5,delete", "action", "set nor end"),
        ("A,1,1,5,set,x", "line", "more cells"),
        (f"{'A' * 65},1,1,5,set", "sku", "64"),
        ('"A\nB",1,1,5,set', "sku", "line break"),
        ("B,1,1,5,set", "sku", "line 2 "),
    ],
)
def test_a_line_that_is_refused_is_named_with_its_field_its_value_and_the_remedy(line: str, field: str, words: str) -> None:
    head = "sku,min_quantity,per_quantity,price,action"
    found = read_sheet(read_csv(csv_text(head, "B,1,1,5,set", line, "C,,,7,")))
    (refusal,) = found.refusals
    assert (refusal.line, refusal.field) == (3 + line.count("\n"), field)
    assert words in refusal.remedy
    assert refusal.value in line.replace('"', "") or field == "line"
    assert [line.sku for line in found.lines.values()] == ["B", "C"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b"\r\n\r\n", "is empty"),
        (b"sku,prise\r\nA,1", "column 'prise'"),
        (b"sku,min_quantity\r\nA,1", "no column 'price'"),
        (b"sku,price,price\r\nA,1,1", "'price' twice"),
        (b"sku,price\r\n\xff,1", "not UTF-8 at byte 11"),
        (b'sku,price\r\n"A,1', "quotation mark"),
        (b"sku,price\r\nA" + b"x" * 40_000 + b",1", "more than 32768 characters"),
        (b"sku,price\r\n\x00,1", ""),
    ],
)
def test_a_csv_of_which_nothing_can_be_read_says_why(body: bytes, words: str) -> None:
    if not words:
        assert [each.field for each in read_sheet(read_csv(body)).refusals] == ["sku"]
        return
    with pytest.raises(PriceSheetUnreadableError, match=words):
        read_sheet(read_csv(body))


def _replaced(body: bytes, part: str, old: bytes, new: bytes) -> bytes:
    """A workbook with something replaced in one of its parts."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for each in source.infolist():
            content = source.read(each)
            assert each.filename != part or old in content
            target.writestr(each.filename, content.replace(old, new) if each.filename == part else content)
    return changed.getvalue()


def shared_texts(rows: Iterable[Iterable[Any]]) -> bytes:
    """A workbook whose cells share their texts, as Excel saves it."""
    body = io.BytesIO()
    with Workbook(body) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, list(row))
    return body.getvalue()


SMALL = shared_texts([["sku", "price"], ["A", 5]])
SHEET_PART = "xl/worksheets/sheet1.xml"


def test_a_workbook_of_which_nothing_can_be_read_says_why() -> None:
    bomb = _replaced(SMALL, SHEET_PART, b"<sheetData>", b"<sheetData>" + b" " * (xlsx_reading.UNPACKED_BYTES_MAX + 1))
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(xlsx_reading.PARTS_MAX + 1):
            archive.writestr(f"{number}", b"")
    doctype = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet '
    for body, words in (
        (b"PK\x03\x04rubbish", "damaged"),
        (b"\xd0\xcf\x11\xe0 an old workbook", "no XLSX workbook"),
        (SMALL[:-30], "damaged"),
        (bomb, "128 MiB"),
        (many.getvalue(), "1000 parts"),
        (_replaced(SMALL, SHEET_PART, b"<worksheet ", doctype), "document type"),
        (_replaced(SMALL, SHEET_PART, b"</row>", b"</raw>"), "can be read"),
        (_replaced(SMALL, SHEET_PART, b'r="A2"', b'r="ZZZZZZZZZZ2"'), "can be read"),
        (_replaced(SMALL, SHEET_PART, b'r="B2"', b'r="XFD2"'), "100 columns"),
        (_replaced(SMALL, SHEET_PART, b't="s"', b't="s" x="&nope;"'), "can be read"),
        (_replaced(SMALL, "xl/workbook.xml", b"<sheet ", b"<sheat "), "can be read"),
    ):
        with pytest.raises(PriceSheetUnreadableError, match=words):
            read_sheet(read_xlsx(body))
    assert len(bomb) < 1_000_000


def test_a_file_that_says_less_than_it_unpacks_to_is_not_unpacked_further() -> None:
    packed = _replaced(SMALL, SHEET_PART, b"<sheetData>", b"<sheetData>" + b" " * 1_000_000)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        size = archive.getinfo(SHEET_PART).file_size
    lying = packed.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little"))
    with pytest.raises(PriceSheetUnreadableError):
        read_sheet(read_xlsx(lying))


def test_a_giant_sheet_is_refused_before_it_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "LINES_MAX", 3)
    monkeypatch.setattr(xlsx_reading, "LINES_MAX", 3)
    rows = [["sku", "price"], *([f"A{n}", "5"] for n in range(4))]
    for cells in (read_xlsx(workbook(rows)), read_csv(csv_text(*(",".join(row) for row in rows)))):
        with pytest.raises(PriceSheetUnreadableError, match="more than 3 lines"):
            read_sheet(cells)


def test_a_formula_is_named_and_not_worked_out() -> None:
    found = read_sheet(read_xlsx(workbook([["sku", "price"], ["A", "=1+1"], ["=cmd|'/C calc'!A0", 5]])))
    assert [(each.line, each.field, each.value) for each in found.refusals] == [(2, "price", "=1+1")]
    assert [line.sku for line in found.lines.values()] == ["=cmd|'/C calc'!A0"], "no product has such a SKU"


def test_sheets_of_other_programs_are_read() -> None:
    strict = _replaced(
        SMALL, SHEET_PART, b"http://schemas.openxmlformats.org/spreadsheetml/2006/main", b"http://purl.oclc.org/ooxml/x"
    )
    placeless = _replaced(_replaced(SMALL, SHEET_PART, b' r="A2"', b""), SHEET_PART, b' r="B2"', b"")
    inline = _replaced(
        SMALL,
        SHEET_PART,
        b'<c r="A2" t="s"><v>2</v></c>',
        b'<c r="A2" t="inlineStr"><is><r><t>A</t></r><rPh><t>x</t></rPh></is></c>',
    )
    for body in (strict, placeless, inline):
        assert [(line.sku, line.unit_price) for line in read_sheet(read_xlsx(body)).lines.values()] == [("A", 5_0000)]
    second = workbook([["sku", "price"], ["A", 5]], write_only=True)
    assert len(read_sheet(read_xlsx(second)).lines) == 1


@given(body=st.binary(max_size=200) | st.binary(max_size=200).map(lambda some: SMALL[:700] + some + SMALL[700:]))
def test_rubbish_is_refused_in_words(body: bytes) -> None:
    for read in (read_csv, read_xlsx):
        with suppress(PriceSheetUnreadableError):
            read_sheet(read(body))
