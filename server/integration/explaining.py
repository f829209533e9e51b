"""What each rule of a mapping did to a sample of rows, without a database: for who writes a mapping."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from server.integration.importer import steps_of
from server.integration.mapping import As, Field, Mapping
from server.integration.refusals import RowRefusedError
from server.integration.sources import Values
from server.integration.step import Stepper
from server.integration.tables import Line

ROWS_EACH: Final = 2
"""Of each step, and as many of each reason to set a row aside."""
_OF_ITS_GROUP: Final = "(of its group)"


class ExplainedField(msgspec.Struct, frozen=True):
    """A field: its rule in words, what the rule read, and what came of it, or why nothing did."""

    field: str
    rule: str
    read: dict[str, str]
    value: Any = None
    fault: str = ""


class ExplainedRow(msgspec.Struct, frozen=True):
    """A row of a source. `fate` is accepted, or the reason why it is set aside."""

    file: str
    line: int
    entity: str
    fate: str
    detail: str
    fields: list[ExplainedField]


def explain_folder(folder: Path, mapping: Mapping) -> list[ExplainedRow]:
    """A sample of the rows of each step, accepted and refused ones. Raises MappingError, SourceError."""
    found: list[ExplainedRow] = []
    for step in steps_of(folder, mapping, {}, lambda _row: None):
        step.on_fate = _Sample(step, found).take
        for _ in step.records():
            pass
    return found


class _Sample:
    """Some rows of a step. What is read of them is asked for before the step reads its first."""

    def __init__(self, step: Stepper, found: list[ExplainedRow]) -> None:
        self._step, self._found = step, found
        self._counts: Counter[str] = Counter()
        self._readers = {
            name: {path: step.view.column(path, name) for path in dict.fromkeys(_columns_of(field))}
            for name, field in step.target.fields.items()
        }

    def take(self, line: Line, fate: str, detail: str) -> None:
        self._counts[fate] += 1
        if self._counts[fate] > ROWS_EACH:
            return
        is_whole = len(line.values) == len(self._step.view.header)
        fields = [self._explained(name, field, line.values) for name, field in self._step.target.fields.items() if is_whole]
        self._found.append(ExplainedRow(self._step.view.file, line.number, self._step.target.entity, fate, detail, fields))

    def _explained(self, name: str, field: Field, values: Values) -> ExplainedField:
        rule, read = rule_of(field), {path: reader(values) for path, reader in self._readers[name].items()}
        evaluate = self._step.evaluators.get(name)
        if evaluate is None:
            return ExplainedField(name, rule, read, _OF_ITS_GROUP)
        try:
            return ExplainedField(name, rule, read, msgspec.to_builtins(evaluate(values)))
        except RowRefusedError as refused:
            return ExplainedField(name, rule, read, fault=refused.detail)


def _columns_of(field: Field) -> Iterator[str]:
    parts = (field.column, field.less_fraction, field.share_of, *(each for each in field.key if isinstance(each, str)))
    yield from (each for each in parts if each is not None)
    yield from (condition.column for condition in field.when)
    nested = (*(field.first_of or ()), *(field.concat or ()), *(each for each in field.key if isinstance(each, Field)))
    for part in (*nested, *([field.zone] if isinstance(field.zone, Field) else [])):
        yield from _columns_of(part)


def rule_of(field: Field) -> str:
    """A field of a mapping in a few words, in the order in which its stages are."""
    said = [_origin_of(field)]
    if field.when:
        said.append(f"when {' and '.join(condition.column for condition in field.when)} fits")
    if field.map is not None:
        said.append(f"one of {len(field.map)} values")
    if field.prefix:
        said.append(f"behind {field.prefix!r}")
    if field.less_fraction is not None:
        said.append(f"less the fraction {field.less_fraction}")
    if field.as_ is not As.TEXT:
        said.append(f"as {field.as_}")
    if field.share_of is not None:
        said.append(f"a share of {field.share_of}")
    if field.default is not None:
        said.append(f"or else {field.default!r}")
    return ", ".join(said)


def _origin_of(field: Field) -> str:
    if field.reference is not None:
        key = ", ".join(each if isinstance(each, str) else rule_of(each) for each in field.key)
        return f"the {field.reference} of {key}"
    if field.first_of is not None:
        return f"the first of ({'; '.join(map(rule_of, field.first_of))})"
    if field.concat is not None:
        return f"joined ({'; '.join(map(rule_of, field.concat))})"
    if field.total_of is not None:
        return f"the sum of {', '.join(field.total_of)}"
    if field.position:
        return "the place in its group"
    return f"column {field.column}" if field.column is not None else repr(field.constant)
