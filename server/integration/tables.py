"""Tables of a legacy system as rows of text: CSV in any local habit, XLSX, JSON lines, and rows that the mapping itself has.

Each reads one row after the other, in memory that does not grow with the table. A row that cannot be read is handed on with its
fault, so that it is set aside and not the table with it.
"""

import csv
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, time
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from server.integration.mapping import Format, MappingError, Source

INLINE: Final = "(mapping)"
XLSX_BYTES_MAX: Final = 4 * 1024**3
"""Unpacked. A workbook is unpacked piece by piece, but a larger one is no table of rows."""
_SPREADSHEET: Final = Context(prec=15)
"""A spreadsheet keeps a number to fifteen digits, and may write two more."""


class SourceError(Exception):
    """A file of the source cannot be read; the message names it and says what to do."""


class Line(msgspec.Struct, frozen=True):
    """A row of a table: the number of its last line in the file, and a value for each column; or why it cannot be read."""

    number: int
    values: list[str]
    fault: str = ""


class TableReader(Protocol):
    """A table. `name` is what the report calls it; it has no header where it is not there."""

    name: str
    header: list[str]

    def lines(self) -> Iterator[Line]:
        """Every row, in the order of the table. Raises SourceError."""

    def count(self) -> int:
        """About how many rows there are, for progress."""


def open_table(folder: Path, source: Source, place: str) -> TableReader:
    """The table of a source. Raises SourceError, MappingError."""
    if source.rows is not None:
        return _Inline(source.rows)
    assert source.file is not None
    if source.optional and not (folder / source.file).exists():
        return _Absent(source.file)
    kind = _READERS[source.format or Format.of(source.file)]
    try:
        return kind(folder / source.file, source, place)
    except (OSError, csv.Error, LookupError) as error:
        raise SourceError(f"{place}: cannot read {folder / source.file}: {error}") from error


class _Absent:
    """A file that need not be there, and is not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.header: list[str] = []

    def lines(self) -> Iterator[Line]:
        return iter(())

    def count(self) -> int:
        return 0


class _Inline:
    """Rows that the mapping has."""

    name = INLINE

    def __init__(self, rows: Sequence[dict[str, str]]) -> None:
        self._rows = rows
        self.header = list(dict.fromkeys(column for row in rows for column in row))

    def lines(self) -> Iterator[Line]:
        for number, row in enumerate(self._rows, 1):
            yield Line(number, [row.get(column, "") for column in self.header])

    def count(self) -> int:
        return len(self._rows)


class _File:
    """What is alike in all files."""

    def __init__(self, path: Path, source: Source, place: str) -> None:
        self.path, self.source, self.place = path, source, place
        self.name = path.name
        self.header = [column.strip() for column in self._columns()]
        twice = next((column for column in self.header if column and self.header.count(column) > 1), None)
        if twice is not None:
            raise MappingError(
                f"{place}.columns", f"{self.name} has two columns {twice!r}; name them all here, and leave out its first line"
            )

    def _columns(self) -> Sequence[str]:
        return self.source.columns or self._first_row()

    def _first_row(self) -> Sequence[str]:
        raise NotImplementedError

    def lines(self) -> Iterator[Line]:
        raise NotImplementedError

    def count(self) -> int:
        with self.path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


class _Csv(_File):
    """Text with separators. Bytes that are no text of the encoding are read as U+FFFD, which no field takes."""

    def lines(self) -> Iterator[Line]:
        with self.path.open(encoding=self.source.encoding, errors="replace", newline="") as file:
            rows = self._rows(file)
            try:
                if not self.source.columns:
                    next(rows, None)
                yield from (Line(rows.line_num + self.source.skip_lines, row) for row in rows if row)
            except csv.Error as error:
                line = rows.line_num + self.source.skip_lines
                problem = f"{self.path}, line {line}: {error}; look for a quotation mark that is not closed, or say `quote`"
                raise SourceError(problem) from error

    def _first_row(self) -> Sequence[str]:
        with self.path.open(encoding=self.source.encoding, errors="replace", newline="") as file:
            return next(self._rows(file), [])

    def _rows(self, file: Any) -> Any:
        for _ in range(self.source.skip_lines):
            file.readline()
        text = (line.replace("\0", "\ufffd") for line in file)
        if not self.source.quote:
            return csv.reader(text, delimiter=self.source.delimiter, quoting=csv.QUOTE_NONE)
        return csv.reader(text, delimiter=self.source.delimiter, quotechar=self.source.quote)


class _Xlsx(_File):
    """A sheet of a workbook: the first one, or the one that is named. Formulas are what they last came to."""

    def lines(self) -> Iterator[Line]:
        rows = self._rows()
        if not self.source.columns:
            next(rows, None)
        for number, row in rows:
            cells = row + [""] * (len(self.header) - len(row))
            yield Line(number, cells)

    def _first_row(self) -> Sequence[str]:
        return next(self._rows(), (0, []))[1]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                if sum(each.file_size for each in archive.infolist()) > XLSX_BYTES_MAX:
                    raise SourceError(f"{self.path} is over {XLSX_BYTES_MAX // 1024**3} GiB when it is unpacked; save it as CSV")
            with closing(openpyxl.load_workbook(self.path, read_only=True, data_only=True)) as workbook:
                sheet = self._sheet(workbook)
                sheet.reset_dimensions()  # what a workbook says of its own size is not to be believed
                for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
                    cells = [cell_text(cell) for cell in row]
                    while cells and not cells[-1]:
                        cells.pop()
                    if number > self.source.skip_lines and cells:
                        yield number, cells
        except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError) as error:
            raise SourceError(f"{self.path} is no workbook that can be read ({error}); save it anew as .xlsx") from error

    def _sheet(self, workbook: Any) -> Any:
        if self.source.sheet is None:
            return workbook.worksheets[0]
        if self.source.sheet not in workbook.sheetnames:
            known = ", ".join(workbook.sheetnames)
            raise MappingError(f"{self.place}.sheet", f"{self.name} has no sheet {self.source.sheet!r}; it has {known}")
        return workbook[self.source.sheet]


class _JsonLines(_File):
    """An object a line. What is nested is read as `outer.inner`; a column is there if any line has it, or the mapping says so."""

    def lines(self) -> Iterator[Line]:
        for number, found in self._objects():
            if isinstance(found, str):
                yield Line(number, [], found)
            else:
                yield Line(number, [found.get(column, "") for column in self.header])

    def _columns(self) -> Sequence[str]:
        found = (name for _, values in self._objects() if isinstance(values, dict) for name in values)
        return list(dict.fromkeys((*self.source.columns, *found)))

    def _objects(self) -> Iterator[tuple[int, dict[str, str] | str]]:
        """Each line's values by column, or its fault."""
        with self.path.open(encoding=self.source.encoding, errors="replace") as file:
            for number, line in enumerate(file, 1):
                if number > self.source.skip_lines and line.strip():
                    yield number, _object_of(line)


_decoder: Final = msgspec.json.Decoder(float_hook=str)


def _object_of(line: str) -> dict[str, str] | str:
    try:
        found = _decoder.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"the line is no JSON: {error}"
    return dict(_flat(found, "")) if isinstance(found, dict) else "the line is no JSON object"


def _flat(found: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}".strip(), json.dumps(value) if isinstance(value, list) else cell_text(value)


def cell_text(value: Any) -> str:
    """A value as text: numbers without an exponent, dates by ISO 8601, nothing as nothing."""
    return _TEXTS.get(type(value), str)(value)


def _number_text(value: float) -> str:
    number = _SPREADSHEET.create_decimal(repr(value))
    return f"{number.normalize(_SPREADSHEET) + 0:f}" if number.is_finite() else str(value)


def _moment_text(value: datetime) -> str:
    is_day = value.tzinfo is None and value.time() == time.min
    return value.date().isoformat() if is_day else value.isoformat(sep=" ")


_TEXTS: Final[dict[type, Callable[[Any], str]]] = {
    type(None): lambda _value: "",
    bool: lambda value: "true" if value else "false",
    float: _number_text,
    Decimal: lambda value: f"{value:f}",
    datetime: _moment_text,
    date: date.isoformat,
    time: time.isoformat,
}
_READERS: Final = {Format.CSV: _Csv, Format.XLSX: _Xlsx, Format.JSON_LINES: _JsonLines}
