"""The first sheet of an XLSX workbook as rows of text, within limits of size, and each number as the decimal that was typed.

Our own because of what the libraries do not do: they give numbers as floats and formulas as what they last came to, and take as
much memory as a file asks for. A workbook is a zip of XML; what is not needed of it is not opened.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final
from xml.parsers import expat

from server.pricing.errors import PriceSheetUnreadableError
from server.pricing.sheets import LINES_MAX, Cells

UNPACKED_BYTES_MAX: Final = 128 * 1024 * 1024
PARTS_MAX: Final = 1_000
COLUMNS_MAX: Final = 100
TEXTS_MAX: Final = 1_000_000
CELL_CHARACTERS_MAX: Final = 32_767
_CHUNK_BYTES: Final = 256 * 1024
_PART_MARK: Final = b"PK\x01\x02"
_LETTERS: Final = 26
_SPREADSHEET_COLUMNS: Final = 16_384
_SPREADSHEET: Final = Context(prec=15)
"""A spreadsheet keeps a number to fifteen digits and may write two more, as 1.1000000000000001 for what was typed as 1.1."""


def read_xlsx(body: bytes) -> Iterator[tuple[int, Cells]]:
    """The rows of the first sheet by their numbers; a formula is `=` and its text. Raises PriceSheetUnreadableError."""
    if body.count(_PART_MARK) > PARTS_MAX:
        raise PriceSheetUnreadableError(f"has more than {PARTS_MAX} parts; save it anew as a plain workbook")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            parts = {each.filename: each for each in archive.infolist()}
            texts = _texts(archive, parts.get("xl/sharedStrings.xml"))
            yield from _rows(archive, parts.get(_first_sheet(archive, parts)), texts)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise PriceSheetUnreadableError("is no XLSX workbook, or a damaged or locked one; save it anew as .xlsx") from error
    except (expat.ExpatError, ValueError, KeyError, IndexError) as error:
        raise PriceSheetUnreadableError(f"is no workbook that can be read ({error}); save it anew as .xlsx") from error


class _Reader:
    """Takes what an XML part says, element by element. Document types, and so entities of one's own, are refused."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.text
        self.parser.StartDoctypeDeclHandler = _refuse_doctype

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins. Names are without the prefix of their namespace."""

    def end(self, name: str) -> None:
        """An element ends."""

    def text(self, text: str) -> None:
        """Some of the text within an element."""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.start(name.rpartition(":")[2], attributes)

    def _end(self, name: str) -> None:
        self.end(name.rpartition(":")[2])


def _refuse_doctype(*_: Any) -> None:
    raise PriceSheetUnreadableError("has a document type, which no spreadsheet writes; save it anew as .xlsx")


class _Names(_Reader):
    """The elements of a small part: their names and attributes, those without the prefix of their namespace."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.found.append((name, {key.rpartition(":")[2]: value for key, value in attributes.items()}))


class _Text(_Reader):
    """Gathers the text of `t` elements but for those that say how something is pronounced."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.is_text = False
        self.is_phonetic = False

    def start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002  # the interface of a reader
        self.is_phonetic = self.is_phonetic or name == "rPh"
        self.is_text = name == "t" and not self.is_phonetic

    def end(self, name: str) -> None:
        self.is_phonetic = self.is_phonetic and name != "rPh"
        self.is_text = False

    def text(self, text: str) -> None:
        if self.is_text:
            self.pieces.append(text)

    def taken(self) -> str:
        """What was gathered, once."""
        whole = "".join(self.pieces)
        self.pieces.clear()
        if len(whole) > CELL_CHARACTERS_MAX:
            raise PriceSheetUnreadableError(f"has a cell of more than {CELL_CHARACTERS_MAX} characters; shorten it")
        return whole


class _Texts(_Text):
    """The texts that cells share."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def end(self, name: str) -> None:
        super().end(name)
        if name == "si":
            if len(self.found) == TEXTS_MAX:
                raise PriceSheetUnreadableError(f"has more than {TEXTS_MAX} texts; split it")
            self.found.append(self.taken())


class _Rows(_Text):
    """The rows of a sheet. A cell, and a row, may say where it is, or follow the one before."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self._texts = texts
        self.done: list[tuple[int, list[str]]] = []
        self._number = 0
        self._count = 0
        self._cells: list[str] = []
        self._place = 0
        self._kind = "n"
        self._formula = False
        self._is_formula = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        super().start(name, attributes)
        if name == "row":
            self._number = int(attributes.get("r", self._number + 1))
            self._cells = []
        elif name == "c":
            self._place = _column(attributes["r"]) if "r" in attributes else len(self._cells)
            if not len(self._cells) <= self._place < COLUMNS_MAX:
                raise PriceSheetUnreadableError(f"has more than {COLUMNS_MAX} columns; leave out what is not about prices")
            self._kind = attributes.get("t", "n")
            self._formula = False
        elif name == "f":
            self._formula = self._is_formula = True
            self.pieces.append("=")
        self.is_text = self.is_text or (name == "v" and not self._formula) or self._is_formula

    def end(self, name: str) -> None:
        super().end(name)
        if name == "f":
            self._is_formula = False
        elif name == "c":
            self._cells += [""] * (self._place - len(self._cells))
            self._cells.append(self._value(self.taken()))
        elif name == "row":
            self._count += any(self._cells)
            if self._count > LINES_MAX + 1:
                raise PriceSheetUnreadableError(f"has more than {LINES_MAX} lines; split it")
            self.done.append((self._number, self._cells))

    def _value(self, text: str) -> str:
        if self._formula or not text:
            return text
        if self._kind == "s":
            return self._texts[int(text)]
        return _number_text(text) if self._kind == "n" else text


def _number_text(text: str) -> str:
    """A number as it was typed; what is none as it stands."""
    try:
        number = _SPREADSHEET.create_decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite() or abs(number.adjusted()) > _SPREADSHEET.prec:
        return text
    return f"{number.quantize(Decimal(1)) if number == number.to_integral_value() else number.normalize(_SPREADSHEET):f}"


def _column(reference: str) -> int:
    """The place of a column from a reference such as `AB12`."""
    place = 0
    for letter in reference.rstrip("0123456789"):
        place = place * _LETTERS + ord(letter) - ord("A") + 1
        if not 0 < place <= _SPREADSHEET_COLUMNS:
            raise ValueError(reference[:20])
    return place - 1


def _first_sheet(archive: zipfile.ZipFile, parts: dict[str, zipfile.ZipInfo]) -> str:
    """The name of the part that has the first sheet."""
    sheets = _read_all(archive, parts.get("xl/workbook.xml"), _Names()).found
    relations = _read_all(archive, parts.get("xl/_rels/workbook.xml.rels"), _Names()).found
    first = next((attributes["id"] for name, attributes in sheets if name == "sheet"), None)
    targets = {attributes["Id"]: attributes["Target"] for name, attributes in relations if name == "Relationship"}
    target = targets[first] if first is not None else ""
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _texts(archive: zipfile.ZipFile, part: zipfile.ZipInfo | None) -> list[str]:
    return _read_all(archive, part, _Texts()).found if part is not None else []


def _rows(archive: zipfile.ZipFile, part: zipfile.ZipInfo | None, texts: list[str]) -> Iterator[tuple[int, Cells]]:
    reader = _Rows(texts)
    for chunk in _chunks(archive, part):
        reader.parser.Parse(chunk, not chunk)
        yield from reader.done
        reader.done.clear()


def _read_all(archive: zipfile.ZipFile, part: zipfile.ZipInfo | None, reader: Any) -> Any:
    for chunk in _chunks(archive, part):
        reader.parser.Parse(chunk, not chunk)
    return reader


def _chunks(archive: zipfile.ZipFile, part: zipfile.ZipInfo | None) -> Iterator[bytes]:
    """The bytes of a part, and last none. Python unpacks no more of a part than it says that it has."""
    if part is None:
        raise KeyError("a part of the workbook is missing")
    if sum(each.file_size for each in archive.infolist()) > UNPACKED_BYTES_MAX:
        raise PriceSheetUnreadableError(f"has more than {UNPACKED_BYTES_MAX // 1024**2} MiB when it is unpacked; split it")
    with archive.open(part) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
    yield b""
