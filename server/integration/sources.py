"""Reading a source row by row: the rows of its file, the rows that they are joined to, and rows brought into order.

The file that drives a step is streamed. What is joined to it is kept in memory, but only the columns that are asked for.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import msgspec

from server.integration.mapping import Condition, Mapping, MappingError, Source
from server.integration.numbers import Style
from server.integration.row_ids import key_text, loose
from server.integration.tables import Line, open_table

Values = Sequence[str]
Accessor = Callable[[Values], str]
KeyReader = Callable[[Values], str | None]
Test = Callable[[Values], bool]

Asked = dict[str, dict[str, bool]]

_INT64_DIGITS: Final = 18


class View:
    """A source as a step reads it. `asked` collects, per file, the columns that anything asks for."""

    def __init__(self, folder: Path, mapping: Mapping, name: str, asked: Asked, *, seen: tuple[str, ...] = ()) -> None:
        place = f"sources.{name}"
        if name not in mapping.sources:
            raise MappingError(place, f"no such source; there are {', '.join(sorted(mapping.sources))}")
        if name in seen:
            raise MappingError(place, f"joins in a circle: {' → '.join((*seen, name))}")
        self.source: Source = mapping.sources[name]
        self.name, self.place = name, place
        self._table = open_table(folder, self.source, place)
        self.file, self.header = self._table.name, self._table.header
        self.part = loose if mapping.loose_keys else str
        self._style = Style(self.source.decimal, self.source.thousands, self.source.dates)
        self._asked = asked.setdefault(self.file, dict.fromkeys(self.header, False))
        self._joins = {
            prefix: Index(View(folder, mapping, join.source, asked, seen=(*seen, name)), self, prefix)
            for prefix, join in self.source.join.items()
        }
        self.selects = self.test(self.source.where, f"{place}.where")

    def column(self, path: str, place: str) -> Accessor:
        """Reads a column, of the row itself or, as `join.Column`, of the row it is joined to. Raises MappingError."""
        prefix, dot, rest = path.partition(".")
        if dot and prefix in self._joins:
            return self._joins[prefix].accessor(rest, place)
        if not self.header and self.source.optional:
            return lambda _values: ""
        if path not in self.header:
            known = [*self.header, *(f"{each}.…" for each in self._joins)]
            raise MappingError(place, f"{self.file} has no column {path!r}; it has {', '.join(known)}")
        self._asked[path] = True
        position = self.header.index(path)
        return lambda values: values[position].strip()

    def style(self, path: str) -> Style:
        """How numbers and dates of a column are written, in its own file."""
        prefix, dot, rest = path.partition(".")
        return self._joins[prefix].style(rest) if dot and prefix in self._joins else self._style

    def key(self, columns: Sequence[str], place: str) -> KeyReader:
        """Reads the columns as a key; None where one of them is empty."""
        accessors, part = [self.column(column, place) for column in columns], self.part
        if len(accessors) == 1:
            only = accessors[0]
            return lambda values: part(only(values)) or None

        def read(values: Values) -> str | None:
            parts = [part(accessor(values)) for accessor in accessors]
            return key_text(parts) if all(parts) else None

        return read

    def test(self, conditions: Sequence[Condition], place: str) -> Test:
        """Whether a row meets all the conditions."""
        tests = [self._condition(condition, f"{place}[{number}]") for number, condition in enumerate(conditions)]
        if len(tests) > 1:
            return lambda values: all(test(values) for test in tests)
        return tests[0] if tests else lambda _values: True

    def load(self) -> None:
        """Read what this source is joined to. Call it when every column has been asked for."""
        for index in self._joins.values():
            index.load()

    def count(self) -> int:
        """About how many rows there are, for progress."""
        return self._table.count()

    def lines(self) -> Iterator[Line]:
        """Every row, in the order of the file. Raises SourceError."""
        return self._table.lines()

    def _condition(self, condition: Condition, place: str) -> Test:
        column = self.column(condition.column, f"{place}.column")
        if condition.empty is not None:
            empty = condition.empty
            return lambda values: (column(values) == "") is empty
        if condition.above is not None:
            return _above(column, condition.above, self.style(condition.column), f"{place}.above")
        if condition.same_as is not None:
            same = self.column(condition.same_as, f"{place}.same_as")
            return lambda values: column(values) == same(values)
        if condition.differs_from is not None:
            other = self.column(condition.differs_from, f"{place}.differs_from")
            return lambda values: column(values) != other(values)
        wanted = frozenset(condition.one_of if condition.one_of is not None else (condition.is_,))
        return lambda values: column(values) in wanted


class Index:
    """The rows that a source is joined to, by their key."""

    def __init__(self, view: View, referring: View, prefix: str) -> None:
        join, place = referring.source.join[prefix], f"{referring.place}.join.{prefix}"
        if not view.source.key or len(view.source.key) != len(join.on):
            raise MappingError(f"{place}.on", f"has {len(join.on)} columns; the key of {join.source} has {len(view.source.key)}")
        self._view = view
        self._own_key = view.key(view.source.key, f"{view.place}.key")
        self._referring_key = referring.key(join.on, f"{place}.on")
        self._columns: list[Accessor] = []
        self._rows: dict[str, tuple[str, ...]] = {}
        preferred = view.source.prefer_lowest
        self._preferred = view.column(preferred, f"{view.place}.prefer_lowest") if preferred else None

    def accessor(self, path: str, place: str) -> Accessor:
        slot = len(self._columns)
        self._columns.append(self._view.column(path, place))
        rows, key = self._rows, self._referring_key

        def read(values: Values) -> str:
            found = key(values)
            row = rows.get(found) if found is not None else None
            return row[slot] if row is not None else ""

        return read

    def style(self, path: str) -> Style:
        return self._view.style(path)

    def load(self) -> None:
        self._view.load()
        lowest: dict[str, tuple[int, str]] = {}
        for line in self._view.lines():
            # A row with too few or too many columns is set aside by the step that reads it; nothing can be joined to it.
            if line.fault or len(line.values) != len(self._view.header) or not self._view.selects(line.values):
                continue
            key = self._own_key(line.values)
            if key is None:
                continue
            if self._preferred is not None:
                rank = natural(self._preferred(line.values))
                if rank >= lowest.setdefault(key, rank) and key in self._rows:
                    continue
                lowest[key] = rank
            elif key in self._rows:
                continue
            self._rows[key] = tuple(column(line.values) for column in self._columns)


def natural(text: str) -> tuple[int, str]:
    """An order in which numbers are in the order of their size, before other text."""
    return (int(text), "") if text.isdecimal() and len(text) <= _INT64_DIGITS else (2**62, text)


def in_order(lines: Iterator[Line], group: KeyReader | None, key: KeyReader) -> Iterator[list[Line]]:
    """Lines in the order of `key`, one by one or in groups, however the file is sorted. They are sorted on disk."""
    # Chunks may be asked for by one thread after another, never by two at once.
    with closing(sqlite3.connect("", check_same_thread=False)) as store:
        store.execute("CREATE TABLE line (part TEXT, number INTEGER, key TEXT, line INTEGER, body BLOB)")
        store.executemany("INSERT INTO line VALUES (?, ?, ?, ?, ?)", (_stored(line, group, key) for line in lines))
        together: list[Line] = []
        part = None
        for found, number, body in store.execute("SELECT part, line, body FROM line ORDER BY part, number, key, line"):
            if together and (group is None or found != part):
                yield together
                together = []
            part = found
            together.append(Line(number, msgspec.msgpack.decode(body, type=list[str])))
        if together:
            yield together


def _stored(line: Line, group: KeyReader | None, key: KeyReader) -> tuple[str, int, str, int, bytes]:
    number, text = natural(key(line.values) or "")
    part = (group(line.values) if group is not None else None) or ""
    return part, number, text, line.number, msgspec.msgpack.encode(line.values)


def _above(column: Accessor, bound: str, style: Style, place: str) -> Test:
    try:
        limit = Decimal(bound)
    except InvalidOperation:
        raise MappingError(place, f"{bound!r} is not a decimal number") from None

    def test(values: Values) -> bool:
        try:
            return Decimal(style.plain(column(values))) > limit
        except InvalidOperation:
            # Selected, so that the step that reads the value sets the row aside, with its reason.
            return True

    return test
