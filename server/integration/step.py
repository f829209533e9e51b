"""One step of an import: rows of a source become rows of an entity, and each row that was read has one fate."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from server.integration.entities import IMPORTABLE, Importable
from server.integration.mapping import Field, MappingError, Target
from server.integration.numbers import EXACT, shared, sum_of
from server.integration.recording import Landed
from server.integration.refusals import Reason, RowRefusedError, SetAside
from server.integration.report import SAMPLES_PER_STEP, Step, Total
from server.integration.row_ids import SEPARATOR, imported_id
from server.integration.sources import Values, View, in_order
from server.integration.tables import Line
from server.integration.values import Compiler, Known
from sync_protocol.values import minor_digits

Accepted = dict[str, dict[str, Any]]
ACCEPTED: Final = "accepted"


class Candidate(msgspec.Struct):
    """A row on its way: its line, its key and the fields that are known so far."""

    line: Line
    key: str
    fields: dict[str, Any]


class Stepper:
    """Runs one target. Everything that the mapping says is checked when it is made; raises MappingError.

    `on_fate` is told of each row that it is accepted, or the reason why it is set aside with the detail.
    """

    def __init__(
        self,
        *,
        source_name: str,
        currency: str,
        target: Target,
        place: str,
        view: View,
        accepted: Accepted,
        before: Known,
        on_set_aside: Callable[[SetAside], None],
    ) -> None:
        self.target, self.view, self._place = target, view, place
        self._source_name, self._digits = source_name, minor_digits(currency)
        self._accepted, self._on_set_aside = accepted.setdefault(target.entity, {}), on_set_aside
        self.kind = _kind(target, place)
        compiler = Compiler(view, accepted, before, currency)
        self._first: dict[str, list[str]] | None = {} if target.on_duplicate == "merge_equal" else None
        self._key = view.key(target.key, f"{place}.key")
        self._group = view.key(target.group, f"{place}.group") if target.group else None
        self._where = view.test(target.where, f"{place}.where")
        self._tests = {name: view.test(conditions, f"{place}.tally.{name}") for name, conditions in target.tally.items()}
        self._totals = {name: compiler.total(column, f"{place}.totals.{name}") for name, column in target.totals.items()}
        self.evaluators = {
            name: compiler.field(field, f"{place}.fields.{name}") for name, field in target.fields.items() if not _is_late(field)
        }
        self._positions = [name for name, field in target.fields.items() if field.position]
        self._sums = {name: field.total_of for name, field in target.fields.items() if field.total_of}
        self._shares = {
            name: compiler.total(field.share_of, f"{place}.fields.{name}.share_of")
            for name, field in target.fields.items()
            if field.share_of is not None
        }
        self.on_fate: Callable[[Line, str, str], None] = _unheard
        self.report = Step(entity=target.entity, source=target.source, file=view.file)
        self.report.tally = dict.fromkeys(target.tally, 0)
        self.report.totals = {name: Total() for name in target.totals}
        self.report.groups = Total() if self._shares else None

    def records(self) -> Iterator[Landed]:
        """The accepted rows, as records of the entity's table. The report is complete when they are exhausted."""
        self.view.load()
        lines = self._selected()
        ordered = in_order(lines, self._group, self._key) if self._group or self.target.sort else ([line] for line in lines)
        for together in ordered:
            yield from self._group_records(together)

    def _selected(self) -> Iterator[Line]:
        width = len(self.view.header)
        for line in self.view.lines():
            self.report.read += 1
            if line.fault:
                self._refuse(line, Reason.MALFORMED_VALUE, line.fault)
            elif len(line.values) != width:
                self._refuse(line, Reason.MALFORMED_VALUE, f"the row has {len(line.values)} values, the header {width}")
            elif self.view.selects(line.values) and self._where(line.values):
                yield line
            else:
                self.report.not_selected += 1

    def _group_records(self, lines: list[Line]) -> Iterator[Landed]:
        candidates = [found for line in lines if (found := self._candidate(line)) is not None]
        if self._group is not None:
            candidates = self._complete_group(candidates)
        for candidate in candidates:
            record = self._record(candidate)
            if record is not None:
                yield Landed(record, candidate.key, candidate.line.number)

    def _candidate(self, line: Line) -> Candidate | None:
        key = self._key(line.values)
        if key is None or key.count(SEPARATOR) != len(self.target.key) - 1:
            self._refuse(line, Reason.MALFORMED_VALUE, f"the key ({', '.join(self.target.key)}) is empty, or is no text")
            return None
        if key in self._accepted:
            is_equal = self._first is not None and self._first.get(key) == line.values
            if self.target.on_duplicate == "merge" or is_equal:
                self.report.merged += 1
            else:
                self._refuse(line, Reason.DUPLICATE_KEY, f"an earlier row has the key {key.replace(SEPARATOR, ' / ')}")
            return None
        try:
            fields = {name: value for name, field in self.evaluators.items() if (value := field(line.values)) is not None}
        except RowRefusedError as refused:
            self._refuse(line, refused.reason, refused.detail)
            return None
        # Taken from here on, so that a later row of the same group with this key is a duplicate.
        identifier = imported_id(self._source_name, self.target.entity, key) if self.kind.has_id else None
        self._accepted[key] = identifier
        if self._first is not None:
            self._first[key] = line.values
        return Candidate(line, key, fields)

    def _complete_group(self, candidates: list[Candidate]) -> list[Candidate]:
        """Give the rows of a group what depends on all of them: their positions, and amounts that add up to a total."""
        for name in self._positions:
            for position, candidate in enumerate(candidates, 1):
                candidate.fields[name] = position
        for name, total_of in self._shares.items() if candidates else ():
            exact = [candidate.fields.get(name, Decimal(0)) for candidate in candidates]
            try:
                total = total_of(candidates[0].line.values)
            except RowRefusedError as refused:
                for candidate in candidates:
                    self._give_up(candidate, refused.reason, refused.detail)
                return []
            for candidate, amount in zip(candidates, shared(total, exact, self._digits), strict=True):
                candidate.fields[name] = amount
            assert self.report.groups is not None
            _add(self.report.groups, total, sum_of(exact))
        return candidates

    def _record(self, candidate: Candidate) -> tuple[Any, ...] | None:
        fields = candidate.fields
        for name, parts in self._sums.items():
            fields[name] = sum(fields.get(part, 0) for part in parts)
        if self.kind.has_id:
            fields["id"] = self._accepted[candidate.key]
        try:
            row = msgspec.convert(fields, self.kind.row)
            compared = {name: total(candidate.line.values) for name, total in self._totals.items()}
        except (msgspec.ValidationError, RowRefusedError) as error:
            self._give_up(candidate, *_reason(error))
            return None
        self._count(candidate.line.values, fields, compared)
        self.on_fate(candidate.line, ACCEPTED, "")
        return msgspec.structs.astuple(row)

    def _count(self, values: Values, fields: Mapping[str, Any], compared: Mapping[str, Decimal]) -> None:
        self.report.accepted += 1
        for name, test in self._tests.items():
            self.report.tally[name] += test(values)
        for name, source in compared.items():
            _add(self.report.totals[name], source, Decimal(fields[name]).scaleb(-self._digits, EXACT))

    def _give_up(self, candidate: Candidate, reason: Reason, detail: str) -> None:
        del self._accepted[candidate.key]
        self._refuse(candidate.line, reason, detail)

    def _refuse(self, line: Line, reason: Reason, detail: str) -> None:
        whole = len(line.values) == len(self.view.header)
        values = dict(zip(self.view.header, line.values, strict=False)) if whole else {"": SEPARATOR.join(line.values)}
        key = self._key(line.values) if whole else None
        found = SetAside(self.view.file, line.number, self.target.entity, reason, detail, key, values)
        self.report.set_aside[reason] = self.report.set_aside.get(reason, 0) + 1
        if len(self.report.samples) < SAMPLES_PER_STEP:
            self.report.samples.append(found)
        self._on_set_aside(found)
        self.on_fate(line, reason, detail)


def _unheard(_line: Line, _fate: str, _detail: str) -> None:
    """Nobody asks what becomes of each row."""


def _add(total: Total, source: Decimal, imported: Decimal) -> None:
    total.source = EXACT.add(total.source, source)
    total.imported = EXACT.add(total.imported, imported)
    total.largest = max(total.largest, EXACT.abs(EXACT.subtract(imported, source)))


def _is_late(field: Field) -> bool:
    return field.position is not None or field.total_of is not None


def _reason(error: msgspec.ValidationError | RowRefusedError) -> tuple[Reason, str]:
    if isinstance(error, RowRefusedError):
        return error.reason, error.detail
    said = str(error)
    wrong = said.startswith(("Object missing", "Invalid")) or ", got" in said
    return (Reason.MALFORMED_VALUE if wrong else Reason.OUT_OF_RANGE), said


def _kind(target: Target, place: str) -> Importable:
    if target.entity not in IMPORTABLE:
        raise MappingError(f"{place}.entity", f"{target.entity!r} is no entity; there are {', '.join(IMPORTABLE)}")
    kind = IMPORTABLE[target.entity]
    known = set(kind.table.columns) - {"id"}
    for name in target.fields:
        if name not in known:
            raise MappingError(f"{place}.fields.{name}", f"{target.entity} has no such field; it has {', '.join(sorted(known))}")
    missing = sorted(kind.required() - set(target.fields))
    if missing:
        raise MappingError(f"{place}.fields", f"{target.entity} needs {', '.join(missing)}")
    late = [name for name, field in target.fields.items() if field.position or field.share_of]
    if late and not target.group:
        raise MappingError(f"{place}.fields.{late[0]}", "`position` and `share_of` need the target's `group`")
    for name, field in target.fields.items():
        unknown = [part for part in field.total_of or () if part not in target.fields]
        if unknown:
            raise MappingError(f"{place}.fields.{name}.total_of", f"{unknown[0]!r} is no field of this target")
    for name in target.totals:
        if name not in target.fields:
            raise MappingError(f"{place}.totals.{name}", "is no field of this target")
    return kind
