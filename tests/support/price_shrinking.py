"""Makes a company and a basket smaller, row by row and field by field, as long as they still fail; and writes them as Python."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import fields, replace

from sync_protocol.entities.customers import Customer
from tests.support.price_dice import Question


def smallest(question: Question, fails: Callable[[Question], bool]) -> Question:
    """The question, less all that it fails without."""
    while True:
        found = next((each for each in _smaller(question) if fails(each)), None)
        if found is None:
            return question
        question = found


def _smaller(question: Question) -> Iterator[Question]:
    book, basket = question
    for place in range(len(basket.lines)):
        yield book, replace(basket, lines=basket.lines[:place] + basket.lines[place + 1 :])
    for kind, rows in book.items():
        for row in rows:
            if not (kind is Customer and row.id == basket.customer_id):
                yield {**book, kind: [each for each in rows if each is not row]}, basket
    for plainer in _plainer(basket):
        yield book, plainer
    for place, line in enumerate(basket.lines):
        for plainer in _plainer(line):
            yield book, replace(basket, lines=(*basket.lines[:place], plainer, *basket.lines[place + 1 :]))
    for kind, rows in book.items():
        for row in rows:
            for plainer in _plainer(row):
                yield {**book, kind: [plainer if each is row else each for each in rows]}, basket


def _plainer(struct: Any) -> Iterator[Any]:
    """The same with one field at its default, or with a smaller number."""
    for field in fields(struct):
        value = getattr(struct, field.name)
        if field.default is not msgspec.NODEFAULT and value != field.default:
            yield replace(struct, **{field.name: field.default})
        if type(value) is int and value > 1 and not field.name.endswith("_ms"):
            yield from (replace(struct, **{field.name: smaller}) for smaller in (1, 10_000, value // 2) if smaller < value)


def as_python(question: Question) -> str:
    """The question as an expression, fields at their default left out."""
    book, basket = question
    rows = ",\n".join(f"  {kind.__name__}: [{', '.join(_written(row) for row in rows)}]" for kind, rows in book.items() if rows)
    return f"({{\n{rows}\n}}, {_written(basket)})"


def _written(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        told = [(field.name, getattr(value, field.name)) for field in fields(value) if getattr(value, field.name) != field.default]
        return f"{type(value).__name__}({', '.join(f'{name}={_written(each)}' for name, each in told)})"
    if isinstance(value, tuple):
        return f"({''.join(_written(each) + ', ' for each in value)})"
    return f"{type(value).__name__}.{value.name}" if hasattr(value, "name") else repr(value)
