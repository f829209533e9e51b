"""From a field of the mapping to a function of a row. Everything that can be wrong with a field is found before a row is read."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from server.integration.mapping import As, Field, MappingError
from server.integration.numbers import (
    EXACT,
    PLAIN,
    Style,
    basis_points_of,
    decimal_of,
    instant_of,
    integer_of,
    malformed,
    minor_of,
    unit_price_near,
    unit_price_of,
)
from server.integration.refusals import Reason, RowRefusedError
from server.integration.row_ids import key_text
from server.integration.sources import Values, View
from sync_protocol.values import minor_digits, normal_text

Evaluate = Callable[[Values], Any]
Known = Mapping[str, Mapping[str, UUID | None]]

# Control characters, halves of surrogate pairs, and what a byte that is no text was read as.
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffd]")


class Compiler(msgspec.Struct, frozen=True):
    """Makes functions of fields. `known` holds, per entity, the accepted rows by key: it grows while rows are read. `before` holds
    those of earlier runs, and is full before the first row is read.
    """

    view: View
    known: Known
    before: Known
    currency: str

    def field(self, field: Field, place: str) -> Evaluate:
        """The value of a field that needs nothing but its own row; None is no value. Raises MappingError."""
        evaluate = self._converted(field, place)
        if not field.when:
            return evaluate
        applies = self.view.test(field.when, f"{place}.when")
        default = field.default
        return lambda values: evaluate(values) if applies(values) else default

    def total(self, column: str, place: str) -> Callable[[Values], Decimal]:
        """Reads a column as an exact number; nothing is zero."""
        accessor, style = self.view.column(column, place), self.view.style(column)
        return lambda values: decimal_of(column, accessor(values) or "0", style)

    def _converted(self, field: Field, place: str) -> Evaluate:
        if field.reference is not None:
            return self._reference(field, place)
        if isinstance(field.constant, int):
            constant = field.constant
            return lambda _values: constant
        text = self._text(field, place)
        convert = self._conversion(field, place)
        default = field.default

        def evaluate(values: Values) -> Any:
            found = text(values)
            return convert(values, found) if found is not None else default

        return evaluate

    def _text(self, field: Field, place: str) -> Callable[[Values], str | None]:
        origin = self._origin(field, place)
        changes, prefix = field.map, field.prefix
        if changes is None and not prefix:
            return origin

        def changed(values: Values) -> str | None:
            found = origin(values)
            if found is None:
                return None
            if changes is not None:
                if found not in changes:
                    raise malformed(place, found, f"one of {', '.join(changes)}")
                found = changes[found]
            return prefix + found

        return changed

    def _origin(self, field: Field, place: str) -> Callable[[Values], str | None]:
        if field.column is not None:
            accessor = self.view.column(field.column, f"{place}.column")
            return lambda values: _clean(place, accessor(values))
        if field.constant is not None:
            constant = str(field.constant)
            return lambda _values: constant
        parts = field.first_of or field.concat or ()
        name = "first_of" if field.first_of else "concat"
        evaluated = [self.field(part, f"{place}.{name}[{number}]") for number, part in enumerate(parts)]
        if field.first_of:
            return lambda values: next((found for part in evaluated if (found := part(values)) is not None), None)
        separator = field.separator
        return lambda values: separator.join(str(found) for part in evaluated if (found := part(values)) is not None) or None

    def _conversion(self, field: Field, place: str) -> Callable[[Values, str], Any]:
        name, style = place.rpartition(".")[2], self._style(field)
        if field.as_ is As.INSTANT:
            zone = self._zone(field.zone, place)
            return lambda values, text: instant_of(name, text, zone(values), style.dates)
        if field.as_ in {As.AMOUNT, As.UNIT_PRICE}:
            return self._money(field, name, place)
        if field.as_ is As.TEXT:
            return lambda _values, text: text
        convert = integer_of if field.as_ is As.INTEGER else basis_points_of
        return lambda _values, text: convert(name, text, style)

    def _style(self, field: Field) -> Style:
        """How the value of a field is written: as its column is, or that of the first part that has one."""
        if field.column is not None:
            return self.view.style(field.column)
        return next((self._style(part) for part in field.first_of or field.concat or ()), PLAIN)

    def _money(self, field: Field, name: str, place: str) -> Callable[[Values, str], Any]:
        """A price or an amount. An amount that shares a total stays exact until its whole group is known."""
        less = self.total(field.less_fraction, f"{place}.less_fraction") if field.less_fraction is not None else None
        style = self._style(field)
        digits = minor_digits(self.currency)
        finish: Callable[[Decimal], Any]
        if field.as_ is As.AMOUNT:
            finish = _unchanged if field.share_of is not None else lambda value: minor_of(value, digits)
        elif less is not None:
            finish = unit_price_near
        else:
            finish = lambda value: unit_price_of(name, value)  # noqa: E731  # one of four, chosen here

        def convert(values: Values, text: str) -> Any:
            value = decimal_of(name, text, style)
            if less is not None:
                value = EXACT.multiply(value, EXACT.subtract(Decimal(1), less(values)))
            return finish(value)

        return convert

    def _zone(self, zone: str | Field | None, place: str) -> Callable[[Values], str]:
        if isinstance(zone, Field):
            evaluate = self.field(zone, f"{place}.zone")
            name = place.rpartition(".")[2]

            def read(values: Values) -> str:
                found = evaluate(values)
                if found is None:
                    raise malformed(name, "", "a time in a known zone (the zone is empty)")
                return str(found)

            return read
        try:
            fixed = str(ZoneInfo(zone or "UTC"))
        except (ValueError, KeyError, OSError) as error:
            raise MappingError(f"{place}.zone", f"{zone!r} is not an IANA time zone") from error
        return lambda _values: fixed

    def _reference(self, field: Field, place: str) -> Evaluate:
        entity = str(field.reference)
        if entity not in self.known:
            raise MappingError(f"{place}.reference", f"{entity!r} is filled by no step before; there are {', '.join(self.known)}")
        rows, before, name = self.known[entity], self.before, place.rpartition(".")[2]
        part_of = self.view.part
        parts = [self._key_part(part, f"{place}.key[{number}]") for number, part in enumerate(field.key)]

        def refer(values: Values) -> UUID | None:
            found = [part_of(str(part(values) or "")) for part in parts]
            if not any(found):
                return None
            key = key_text(found)
            if key in rows:
                return rows[key]
            earlier = before.get(entity, {})
            if key not in earlier:
                raise RowRefusedError(Reason.MISSING_REFERENCE, f"{name}: there is no {entity} {' / '.join(found)}")
            return earlier[key]

        return refer

    def _key_part(self, part: str | Field, place: str) -> Evaluate:
        # A column is read as the key of the row that it refers to is read: trimmed and otherwise as it stands.
        return self.field(part, place) if isinstance(part, Field) else self.view.column(part, place)


def _unchanged(value: Decimal) -> Decimal:
    return value


def _clean(place: str, text: str) -> str | None:
    if text.isascii() and text.isprintable():
        return text or None
    if _NO_TEXT.search(text) is not None:
        raise malformed(place.rpartition(".")[2], text, "text (control characters, or bytes in another encoding)")
    return normal_text(text) or None
