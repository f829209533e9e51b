"""What a new line of `SYNCED` inherits: its table, its capture, its way over the wire and back."""

from collections import Counter
from enum import StrEnum
from typing import Any, get_args
from uuid import UUID

import apsw
import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

import server.app  # noqa: F401  # every slice's tables
from server.runtime.database import Base, Database, Identifier
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import SYNCED, Synced
from sync_protocol.values import INT64_MAX, Row
from sync_protocol.wire import codec
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.strategies import instances

every_entity = pytest.mark.parametrize("synced", SYNCED, ids=lambda synced: synced.name)
COLUMN_TYPES: dict[type, type[sa.types.TypeEngine[Any]]] = {UUID: Identifier, int: sa.BigInteger, str: sa.Text}
CAPTURED = {
    "sqlite": {"insert", "update", "delete", "id"},
    "postgresql": {"insert", "update", "delete", "id", "truncate"},
}


def plain_type(field: msgspec.structs.FieldInfo) -> tuple[type, bool]:
    """The type under a field's limits, and whether the field may be None."""
    parts = [part for part in get_args(field.type) or (field.type,) if not isinstance(part, msgspec.Meta)]
    (kind,) = (getattr(part, "__origin__", part) for part in parts if part is not type(None))
    return (str if issubclass(kind, StrEnum) else kind), type(None) in parts


def table_of(synced: Synced) -> sa.Table:
    return Base.metadata.tables[synced.name]


@every_entity
def test_its_table_has_a_fitting_column_for_each_field(synced: Synced) -> None:
    columns = table_of(synced).columns
    for field in msgspec.structs.fields(synced.row):
        kind, optional = plain_type(field)
        assert field.name in columns, f"{synced.name}.{field.name} has no column"
        column = columns[field.name]
        assert isinstance(column.type, COLUMN_TYPES[kind]), f"{column} is {column.type}, which does not hold {kind.__name__}"
        assert column.nullable == optional, f"{column} is nullable={column.nullable}, its field optional={optional}"


@every_entity
def test_its_table_is_keyed_by_the_id(synced: Synced) -> None:
    assert [column.name for column in table_of(synced).primary_key] == ["id"]


@every_entity
def test_its_integers_fit_every_store(synced: Synced) -> None:
    described = inspect.type_info(synced.row)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        for part in getattr(field.type, "types", (field.type,)):
            plain = part.type if isinstance(part, inspect.Metadata) else part
            if isinstance(plain, inspect.IntType):
                assert plain.ge is not None, f"{field.name} has no lower limit"
                assert plain.le is not None, f"{field.name} has no upper limit"
                assert -INT64_MAX <= plain.ge <= plain.le <= INT64_MAX


@every_entity
def test_its_texts_have_a_limit(synced: Synced) -> None:
    described = inspect.type_info(synced.row)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        for part in getattr(field.type, "types", (field.type,)):
            plain = part.type if isinstance(part, inspect.Metadata) else part
            assert not isinstance(plain, inspect.StrType) or plain.max_length, f"{field.name} has no limit"


@every_entity
def test_its_bucket_is_a_function_of_an_id_of_the_row(synced: Synced) -> None:
    types = {field.name: field.type for field in msgspec.structs.fields(synced.row)}
    assert synced.bucket.key is None or types[synced.bucket.key] is UUID


@every_entity
def test_its_indexes_are_of_its_own_fields(synced: Synced) -> None:
    for index in synced.indexes:
        assert set(index) <= set(synced.row.__struct_fields__)


@every_entity
def test_its_references_come_before_it(synced: Synced) -> None:
    numbers = {each.name: each.number for each in SYNCED}
    for key in table_of(synced).foreign_keys:
        assert numbers.get(key.column.table.name, 0) <= synced.number, f"{synced.name} comes before {key.column.table.name}"


@every_entity
def test_fields_that_came_later_have_a_default(synced: Synced) -> None:
    assert 1 <= synced.since_protocol <= PROTOCOL_VERSION
    for field in msgspec.structs.fields(synced.row):
        since = codec._since(field)
        assert since <= PROTOCOL_VERSION
        assert since == 1 or not field.required, f"{field.name} came with protocol {since} and has no default"


@every_entity
@given(data=st.data())
def test_a_row_survives_its_stored_form(synced: Synced, data: st.DataObject) -> None:
    row = data.draw(instances(synced.row))
    assert codec.row_from_stored(synced.row, codec.stored_values(row)) == row


@every_entity
@given(data=st.data())
def test_many_rows_are_read_as_each_alone_and_one_that_is_damaged_is_none(synced: Synced, data: st.DataObject) -> None:
    row = data.draw(instances(synced.row))
    stored = [codec.stored_values(row)] * 9
    assert codec.rows_from_stored(synced.row, stored) == [row] * 9
    kinds = dict(codec._enum_fields(synced.row))
    newer = tuple("of_tomorrow" if name in kinds else value for name, value in zip(row.__struct_fields__, stored[0], strict=True))
    read = codec.rows_from_stored(synced.row, [*stored, newer])
    assert read == [*[row] * 9, codec.row_from_stored(synced.row, newer)]
    assert [(type(getattr(read[-1], name)), str(getattr(read[-1], name))) for name in kinds] == [
        (kind, "of_tomorrow") for kind in kinds.values()
    ]
    place = data.draw(st.integers(0, len(newer) - 1))
    for damage in (b"\x00", 1.5):
        damaged = (*newer[:place], damage, *newer[place + 1 :])
        for several in ([damaged], [*stored, damaged], [*stored, newer, damaged]):
            with pytest.raises(codec.WireError, match=synced.row.__name__):
                codec.rows_from_stored(synced.row, several)


@every_entity
@given(data=st.data(), commit_seq=st.integers(0, INT64_MAX))
def test_a_row_survives_the_wire(synced: Synced, data: st.DataObject, commit_seq: int) -> None:
    row = data.draw(instances(synced.row))
    stored = codec.stored_values(row)
    sent = (commit_seq, row_checksum(synced, stored), *stored)
    (received,) = codec.decode_rows(synced, msgspec.Raw(codec.encode([sent])))
    assert received == sent
    assert {type(value) for value in received} <= {int, str, bytes, type(None)}
    assert codec.row_from_stored(synced.row, received[2:]) == row


@every_entity
@given(data=st.data())
def test_a_row_survives_sqlite(synced: Synced, data: st.DataObject) -> None:
    row: Row = data.draw(instances(synced.row))
    connection = apsw.Connection(":memory:")
    values = codec.stored_values(row)
    connection.execute(f"CREATE TABLE stored ({', '.join(f'{name} ANY' for name in row.__struct_fields__)}) STRICT")
    connection.execute(f"INSERT INTO stored VALUES ({', '.join('?' * len(values))})", values)
    (stored,) = connection.execute("SELECT * FROM stored").fetchall()
    assert codec.row_from_stored(synced.row, stored) == row


def test_the_wire_has_the_row_version_its_checksum_and_then_every_field() -> None:
    for synced in SYNCED:
        fields = {field.name: codec._since(field) for field in msgspec.structs.fields(synced.row)}
        for version in range(2, PROTOCOL_VERSION + 1):
            known = tuple(name for name, since in fields.items() if since <= version)
            assert codec.columns(synced, version) == ("commit_seq", "checksum", *known)
        assert codec.columns(synced, 1) == ("commit_seq", *(name for name, since in fields.items() if since == 1))
        assert codec.columns(synced, PROTOCOL_VERSION)[2:] == synced.row.__struct_fields__


@pytest.mark.parametrize("attribute", ["number", "name", "row"])
def test_no_two_entities_share(attribute: str) -> None:
    counted = Counter(getattr(synced, attribute) for synced in SYNCED)
    assert not [value for value, count in counted.items() if count > 1]


def test_the_registry_is_in_the_order_of_its_numbers() -> None:
    assert [synced.number for synced in SYNCED] == sorted(synced.number for synced in SYNCED)


async def test_every_table_is_captured(database: Database) -> None:
    engine = "sqlite" if database.is_sqlite else "postgresql"
    query = {
        "sqlite": "SELECT tbl_name, replace(name, tbl_name || '_', '') FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'",
    }
    async with database.read() as session:
        found = {(table, trigger) for table, trigger in (await session.execute(sa.text(query[engine]))).all()}
    wanted = {(synced.name, f"capture_{act}") for synced in SYNCED for act in CAPTURED[engine]}
    assert wanted <= found
