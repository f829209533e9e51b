"""The mapping file: how the columns of a legacy system become entities. One TOML file, decoded into these structs.

A value goes through fixed stages: its origin (exactly one of `column`, `constant`, `first_of`, `concat`, `reference`,
`position`, `total_of`), `when`, `map`, `prefix`, `default`, and the conversion `as`. Text is trimmed and brought into
one spelling; an empty value is no value. There is no expression language: what is not in these lists cannot be said.
"""

import re
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

ROW_ORIGINS: Final = ("column", "constant", "first_of", "concat", "reference", "position", "total_of")
ISO: Final = "iso"
_TESTS: Final = ("is_", "one_of", "empty", "above", "same_as", "differs_from")


class MappingError(ValueError):
    """The mapping cannot be used. `path` says where in the file, the sentence what is wrong and what it takes."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class As(StrEnum):
    """What a value is converted to. Numbers are exact: what cannot be stored without a rest is malformed, except an amount."""

    TEXT = "text"
    INTEGER = "integer"
    AMOUNT = "amount"  # a decimal of the major unit, rounded half up to the mapping's currency's minor unit
    UNIT_PRICE = "unit_price"  # a decimal of the major unit, in ten-thousandths
    BASIS_POINTS = "basis_points"  # a fraction of one, such as 0.05
    INSTANT = "instant"  # an ISO date or time, in `zone` where it has no offset


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the mapping file; a key that is not known is an error."""


class Condition(_Part, frozen=True, kw_only=True):
    """A test of one column; exactly one kind of test."""

    column: str
    is_: str | None = msgspec.field(name="is", default=None)
    one_of: tuple[str, ...] | None = None
    empty: bool | None = None
    above: str | None = None
    same_as: str | None = None
    differs_from: str | None = None

    def __post_init__(self) -> None:
        given = [test for test in _TESTS if getattr(self, test) is not None]
        if len(given) != 1:
            raise ValueError("a condition has exactly one of is, one_of, empty, above, same_as, differs_from")


class Field(_Part, frozen=True, kw_only=True):
    """Where a value comes from and what is done to it.

    `position` is the row's place in its group; `total_of` adds up other fields of the row; `less_fraction` names a column
    with the part that is taken off (a price is rounded half up then); `share_of` names a column with the total that the
    group's amounts add up to.
    """

    column: str | None = None
    constant: str | int | None = None
    first_of: tuple["Field", ...] | None = None
    concat: tuple["Field", ...] | None = None
    reference: str | None = None
    position: Literal[True] | None = None
    total_of: tuple[str, ...] | None = None
    key: tuple["str | Field", ...] = ()
    separator: str = " "
    when: tuple[Condition, ...] = ()
    map: dict[str, str] | None = None
    prefix: str = ""
    default: str | int | None = None
    as_: As = msgspec.field(name="as", default=As.TEXT)
    zone: "str | Field | None" = None
    less_fraction: str | None = None
    share_of: str | None = None

    def __post_init__(self) -> None:
        if sum(getattr(self, origin) is not None for origin in ROW_ORIGINS) != 1:
            raise ValueError(f"a field has exactly one of {', '.join(ROW_ORIGINS)}")
        if (self.reference is not None) != bool(self.key):
            raise ValueError("`reference` and `key` come together")
        if (self.as_ is As.INSTANT) != (self.zone is not None):
            raise ValueError("`as = 'instant'` and `zone` (an IANA name, or a field that gives one) come together")
        if self.share_of is not None and (self.as_ is not As.AMOUNT or self.column is None):
            raise ValueError("`share_of` needs `column` and `as = 'amount'`")

    def references(self) -> Iterator[str]:
        """The entities that the field refers to, itself or in its parts."""
        if self.reference is not None:
            yield self.reference
        parts = (*(self.first_of or ()), *(self.concat or ()), *self.key, self.zone)
        for part in parts:
            if isinstance(part, Field):
                yield from part.references()


class Join(_Part, frozen=True, kw_only=True):
    """The row of another source whose key is what `on` has here; its columns are read as `name.Column`."""

    source: str
    on: tuple[str, ...]


class Format(StrEnum):
    """How a file holds its rows. Without one it is that of the file's ending, and CSV for any other."""

    CSV = "csv"
    XLSX = "xlsx"
    JSON_LINES = "jsonl"

    @classmethod
    def of(cls, file: str) -> "Format":
        """By the ending of a file."""
        return _ENDINGS.get(Path(file).suffix.lower(), cls.CSV)


_ENDINGS: Final = {".xlsx": Format.XLSX, ".xlsm": Format.XLSX, ".jsonl": Format.JSON_LINES, ".ndjson": Format.JSON_LINES}


class Source(_Part, frozen=True, kw_only=True):
    """Rows of a file, or written down here. Where rows of a joined source share a key, the first or `prefer_lowest` is used.

    A file that is `optional` need not be there. `columns` names the columns of a file that has no first line with their names,
    and those that may be missing from every line of JSON; `skip_lines` is how many lines come before the first that counts.
    `delimiter`, `quote` (empty for none) and `encoding` are of CSV, `sheet` of XLSX. `decimal`, `thousands` and `dates` say how
    numbers and dates are written; a date is read by the first of the patterns of `strptime` that fits it, of which `iso` is one.
    """

    file: str | None = None
    rows: tuple[dict[str, str], ...] | None = None
    optional: bool = False
    key: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    join: dict[str, Join] = {}
    prefer_lowest: str | None = None
    format: Format | None = None
    columns: tuple[str, ...] = ()
    skip_lines: Annotated[int, Meta(ge=0, le=10_000)] = 0
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8-sig"
    sheet: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", "'", " "] = ""
    dates: tuple[str, ...] = (ISO,)

    def __post_init__(self) -> None:
        if (self.file is None) == (self.rows is None):
            raise ValueError("a source has either `file` or `rows`")
        if len(self.delimiter) != 1:
            raise ValueError("`delimiter` is one character")
        if len(self.quote) > 1:
            raise ValueError("`quote` is one character, or empty")
        if self.decimal == self.thousands:
            raise ValueError("`decimal` and `thousands` are not the same character")
        if not self.dates:
            raise ValueError("`dates` has a pattern at least")


class Target(_Part, frozen=True, kw_only=True):
    """One step: rows of a source become rows of an entity.

    `group` brings rows together, `sort` puts them in the order of their key (so that a row may refer to a lower one).
    `shared` adds fields that are written once for several steps; a step's own come first.
    A row whose key an accepted one has is set aside, merged into that, or merged if all of it is the same.
    `totals` compares fields with the source's own columns; `tally` counts accepted rows by name.
    """

    entity: str
    source: str = msgspec.field(name="from")
    key: tuple[str, ...]
    fields: dict[str, Field]
    shared: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    group: tuple[str, ...] = ()
    sort: bool = False
    on_duplicate: Literal["set_aside", "merge", "merge_equal"] = "set_aside"
    totals: dict[str, str] = {}
    tally: dict[str, tuple[Condition, ...]] = {}


class Mapping(_Part, frozen=True, kw_only=True):
    """A legacy system. `name` is part of every id: two systems never share one.

    With `loose_keys`, keys that differ in case or in spaces are the same.
    """

    name: str
    currency: str
    loose_keys: bool = False
    sources: dict[str, Source]
    targets: tuple[Target, ...]
    shared: dict[str, dict[str, Field]] = {}

    def complete(self) -> tuple[Target, ...]:
        """The targets with the fields that they share. Raises MappingError."""
        return tuple(self._complete(target, f"targets[{number}]") for number, target in enumerate(self.targets))

    def references(self) -> set[str]:
        """The entities that anything refers to."""
        return {entity for target in self.complete() for field in target.fields.values() for entity in field.references()}

    def _complete(self, target: Target, place: str) -> Target:
        fields = dict(target.fields)
        for number, name in enumerate(target.shared):
            if name not in self.shared:
                raise MappingError(f"{place}.shared[{number}]", f"{name!r} is not in [shared]; there are {', '.join(self.shared)}")
            fields = self.shared[name] | fields
        return msgspec.structs.replace(target, fields=fields)


def load_mapping(path: Path) -> Mapping:
    """The mapping in a file. Raises MappingError, which names the place in it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(str(path), f"{error}; a mapping is a TOML file in UTF-8") from error
    return mapping_of(document)


def mapping_of(document: object) -> Mapping:
    """The mapping that a decoded document describes. Raises MappingError."""
    try:
        return msgspec.convert(document, Mapping)
    except msgspec.ValidationError as error:
        problem, place = _said(error)
        raise MappingError(_named(document, problem, place) or "mapping", problem) from error


def _said(error: msgspec.ValidationError) -> tuple[str, str]:
    problem, _, place = str(error).partition(" - at `")
    return problem, place.rstrip("`").removeprefix("$").removeprefix(".")


def _named(document: object, problem: str, place: str) -> str:
    """The place with the names of tables, for which msgspec writes `[...]`: found by leaving one entry at a time."""
    before, unnamed, _ = place.partition("[...]")
    if not unnamed:
        return place
    try:
        names = tuple(_table(document, before))
    except KeyError:
        # A name with a dot or a bracket in it: the place cannot be told from a path.
        return place
    for name in names:
        alone = deepcopy(document)
        table = _table(alone, before)
        for other in table.keys() - {name}:
            del table[other]
        try:
            msgspec.convert(alone, Mapping)
        except msgspec.ValidationError as error:
            if _said(error) == (problem, place):
                return _named(alone, problem, place.replace("[...]", f".{name}", 1))
    return place


def _table(document: object, place: str) -> dict[str, object]:
    found: Any = document
    for name, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        found = found[name] if name else found[int(number)]
    assert isinstance(found, dict)
    return found
