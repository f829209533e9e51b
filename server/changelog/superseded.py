"""Which rows are kept as they were when they are changed or deleted: those that a price is made of.

An order is priced as its user saw it, so these can be read as they stood at an earlier place of the log (`as_of`). The triggers
of capture keep a version when it is superseded: what is inserted costs nothing, nor does a second change within one transaction.
"""

from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

from sync_protocol.entities import Synced
from sync_protocol.values import INT64_MAX

KEPT_BY: Final = MappingProxyType(
    {
        **dict.fromkeys(("category", "product", "price_list", "territory", "customer", "discount_limit", "tax_rate"), "id"),
        **dict.fromkeys(("price_entry", "product_quantity_rule", "list_quantity_rule", "price_floor"), "product_id"),
        **dict.fromkeys(("address", "segment_member", "customer_price_list", "agreed_price", "tax_exemption"), "customer_id"),
        **dict.fromkeys(("promotion_customer", "promotion_use"), "customer_id"),
        **dict.fromkeys(("price_list_assignment", "promotion", "promotion_audience", "promotion_target"), "id"),
        **dict.fromkeys(("promotion_tier", "promotion_exclusion"), "id"),
    }
)
"""The entities whose superseded versions are kept, and the column that these are looked up by."""

NEVER_CAPTURED: Final = 0
"""Stands for the change that wrote a version where the log does not know it; so old is nothing that it knows."""


def body_sql(synced: Synced, row: str, *, is_sqlite: bool) -> str:
    """A version of a row, as an expression: JSON with the columns that travel, which msgspec reads as a row.

    SQLite's JSON refuses bytes, which a foreign program may have left in any column: it may not be refused to mend that.
    """
    make, text = ("json_object", "") if is_sqlite else ("json_build_object", "::text")
    columns = (f"'{column}', {_value_sql(synced, row, column, is_sqlite=is_sqlite)}" for column in synced.row.__struct_fields__)
    return f"{make}({', '.join(columns)}){text}"


def _value_sql(synced: Synced, row: str, column: str, *, is_sqlite: bool) -> str:
    value = f"{row}.{column}"
    if not is_sqlite:
        return value
    annotation: Any = synced.row.__annotations__.get(column, UUID)
    return f"nullif(hex({value}), '')" if annotation in {UUID, UUID | None} else f"iif(typeof({value}) = 'blob', NULL, {value})"


def place_sql(change: str) -> str:
    """Where a change stands in the order of commits, as an expression: 0 where it was forgotten, beyond all until it is sealed.

    A look-up for each row by itself: PostgreSQL would hash all commits for a join with few rows of a table that is new to it.
    """
    placed = f"SELECT coalesce(c.commit_seq, {INT64_MAX}) FROM change_commit c WHERE c.change = {change}"
    return f"coalesce(({placed}), 0)"


_INTO: Final = "INSERT INTO row_history (entity, key_id, row_id, until_change, since_change, body)"


def sqlite_superseded(synced: Synced) -> str:
    """For triggers of SQLite on UPDATE and DELETE, before the change is logged: keep OLD, unless this change wrote it."""
    if synced.name not in KEPT_BY:
        return ""
    number, body = synced.number, body_sql(synced, "OLD", is_sqlite=True)
    return f"""
        {_INTO}
        SELECT {number}, OLD.{KEPT_BY[synced.name]}, OLD.id, head + 1, coalesce(change, {NEVER_CAPTURED}), {body}
          FROM change_head LEFT JOIN change_log ON entity = {number} AND row_id = OLD.id
         WHERE coalesce(change, {NEVER_CAPTURED}) <> head + 1;
    """


class PostgresKept(NamedTuple):
    """What capture on PostgreSQL adds to what it reads of `old_row` and its log entry `logged`, and does with it."""

    columns: str
    statement: str


NOTHING_KEPT: Final = PostgresKept("", "")


def postgres_kept(synced: Synced) -> PostgresKept:
    """For triggers of PostgreSQL on UPDATE and DELETE: keep `old_row`, unless this change wrote it."""
    if synced.name not in KEPT_BY:
        return NOTHING_KEPT
    number, body = synced.number, body_sql(synced, "old_row", is_sqlite=False)
    since = f"coalesce(logged.change, {NEVER_CAPTURED}) AS since_change"
    kept = f"SELECT {number}, key_id, row_id, made_by, since_change, body FROM touched WHERE since_change <> made_by"
    return PostgresKept(f", {since}, old_row.{KEPT_BY[synced.name]} AS key_id, {body} AS body", f"superseded AS ({_INTO} {kept}),")
