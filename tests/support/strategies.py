"""Hypothesis strategies made of a struct's own types and limits, so that a new field is drawn without being listed."""

from functools import cache
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from sync_protocol.values import _TEXT

S = TypeVar("S", bound=msgspec.Struct)

# What a pattern in `sync_protocol.values` refuses is control characters; a lone surrogate is no text anywhere.
_ENTERED = st.characters(codec="utf-8", exclude_categories=["Cc"])


def instances(struct: type[S]) -> st.SearchStrategy[S]:
    """Every instance that the types and limits of `struct` allow."""
    return _instances(struct)


@cache
def _instances(struct: type[S]) -> st.SearchStrategy[S]:
    """Made once: a strategy of a regular expression takes a hundred times as long to make as to draw from."""
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    return _struct(described)


def _struct(described: inspect.StructType) -> st.SearchStrategy[Any]:
    return st.builds(described.cls, **{field.name: values(field.type) for field in described.fields})


def values(described: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: PLR0911  # one for each kind of type
    """Every value of a described type; the limits themselves are drawn often."""
    match described:
        case inspect.Metadata():
            return values(described.type)
        case inspect.StrType():
            return _text(described)
        case inspect.IntType():
            return st.integers(described.ge, described.le) | st.sampled_from([described.ge, described.le])
        case inspect.VarTupleType():
            return st.lists(values(described.item_type), min_size=described.min_length or 0, max_size=5).map(tuple)
        case inspect.UnionType():
            return st.one_of([values(part) for part in described.types])
        case inspect.StructType():
            return _struct(described)
        case inspect.EnumType():
            return st.sampled_from(described.cls)
        case inspect.UUIDType():
            return st.uuids()
        case inspect.NoneType():
            return st.none()
    raise NotImplementedError(f"no strategy for {described}")


def _text(described: inspect.StrType) -> st.SearchStrategy[str]:
    least, most = described.min_length or 0, described.max_length
    if described.pattern in {None, _TEXT}:
        alphabet = _ENTERED if described.pattern else st.characters(codec="utf-8")
        return st.text(alphabet, min_size=least, max_size=most)
    narrow = st.from_regex(described.pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))
    return narrow.filter(lambda text: least <= len(text) <= (most or len(text)))
