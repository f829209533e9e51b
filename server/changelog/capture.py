"""Capture triggers, generated from the entity registry for both engines, so that no write can bypass the log (I-3).

PostgreSQL: statement triggers with transition tables upsert one log row per changed row, and one `change_commit` row per
transaction, whose deferred constraint trigger takes the next position at commit. The head row's lock is held from there
to the end of the commit, so positions are dense and in order of commit, and no transaction waits for a long one.

SQLite: one writer at a time. Row triggers write under position head + 1; `changelog.log.seal` moves the head. What a
foreign program wrote is sealed by whoever comes next, before anything is read.

Beside the log go the sums that replicas are compared by: a transaction notes what it adds to and takes from each range of
each bucket. PostgreSQL's triggers know a row's checksum by themselves; on SQLite sealing takes away what the rows of a change
counted for and adds what they count for now, range by range.

A row whose synced columns stay the same is not a change. Ids never change and synced tables are never truncated: the
triggers refuse both. SQLite's OR REPLACE removes rows without telling delete triggers unless the connection has
`recursive_triggers`, as the server's have; of another program's connection that has not, it is refused.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from server.changelog.assignments import postgres_assignment_statements, sqlite_assignment_statements
from server.changelog.sums import ADD_UP, bucket_sql, checksum_sql, fill_checksums_sql, fill_sums_sql, range_sql
from server.changelog.superseded import NOTHING_KEPT, PostgresKept, postgres_kept, sqlite_superseded
from sync_protocol.entities import SYNCED, Synced

_NOW_MS_SQLITE: Final = "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"

_SQLITE_COMMIT: Final = f"""
    INSERT INTO change_commit (change, commit_seq, committed_at_ms)
    SELECT head + 1, head + 1, {_NOW_MS_SQLITE} FROM change_head
     WHERE NOT EXISTS (SELECT 1 FROM change_commit WHERE change = head + 1);
"""  # noqa: S608  # no input in it

_POSTGRES_FUNCTIONS: Final = (
    "CREATE SEQUENCE IF NOT EXISTS change_sequence",
    """
    CREATE OR REPLACE FUNCTION capture_change() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        known text := current_setting('roadbook.change', true);
        fresh bigint;
    BEGIN
        IF known IS NOT NULL AND known <> '' THEN
            RETURN known::bigint;
        END IF;
        fresh := nextval('change_sequence');
        PERFORM set_config('roadbook.change', fresh::text, true);
        INSERT INTO change_commit (change) VALUES (fresh);
        RETURN fresh;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION capture_seal() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        place bigint;
    BEGIN
        UPDATE change_head SET head = head + 1 WHERE id = 1 RETURNING head INTO STRICT place;
        UPDATE change_commit
           SET commit_seq = place, committed_at_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
         WHERE change = NEW.change;
        PERFORM pg_notify('roadbook_log', place::text);
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION capture_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    "DROP TRIGGER IF EXISTS capture_seal ON change_commit",
    """
    CREATE CONSTRAINT TRIGGER capture_seal AFTER INSERT ON change_commit
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION capture_seal()
    """,
)


def install_capture(connection: sa.Connection) -> None:
    """Make the triggers of every synced table, replacing older ones, and fill the sums that they keep.

    Run after each migration to the newest schema.
    """
    statements = _sqlite_statements(connection) if connection.dialect.name == "sqlite" else _postgres_statements()
    for statement in statements:
        connection.exec_driver_sql(statement)
    is_sqlite = connection.dialect.name == "sqlite"
    for synced in SYNCED:
        connection.exec_driver_sql(fill_sums_sql(synced, is_sqlite=is_sqlite))
        if is_sqlite:
            connection.exec_driver_sql(fill_checksums_sql(synced))


def _columns(synced: Synced) -> tuple[str, ...]:
    return synced.row.__struct_fields__


def _postgres_statements() -> Iterator[str]:
    yield from _POSTGRES_FUNCTIONS
    for synced in SYNCED:
        yield from _postgres_entity(synced)
    yield from postgres_assignment_statements("capture_change()")


def _postgres_logged(synced: Synced, row: str) -> str:
    """What the log knows of a row, to be joined: looked up for each row, since a subquery with an OFFSET stays one.

    A session keeps the plans that it made for its first write, of one row or of a hundred thousand, so they must do for both:
    none may read through the log for a row, as where it was made when that was empty, nor through all old rows for each new one,
    which a FULL JOIN never does.
    """
    known = f"SELECT bucket, change, checksum FROM change_log WHERE entity = {synced.number} AND row_id = {row}.id OFFSET 0"  # noqa: S608  # made of the registry, not of input
    return f"JOIN LATERAL ({known}) logged ON true"


def _postgres_log(synced: Synced, rows: str, row: str, where: str, *, deleted: int, kept: PostgresKept) -> str:
    """Log the rows, note what they count for now and what they counted for before, and keep what they were."""
    checksum = "NULL::bigint" if deleted else checksum_sql(synced, row, is_sqlite=False)
    return f"""
        WITH touched AS MATERIALIZED (
            SELECT {row}.id AS row_id, {bucket_sql(synced, row, is_sqlite=False)} AS bucket, {checksum} AS checksum,
                   logged.bucket AS bucket_before, logged.checksum AS checksum_before {kept.columns}
              FROM {rows} LEFT {_postgres_logged(synced, row)} {where}
        ), {kept.statement} written AS (
            INSERT INTO change_log (entity, row_id, bucket, change, deleted, checksum)
            SELECT {synced.number}, row_id, bucket, made_by, {deleted}, checksum FROM touched
            ON CONFLICT (entity, row_id) DO UPDATE SET bucket = excluded.bucket, change = excluded.change,
               deleted = excluded.deleted, checksum = excluded.checksum
        )
        INSERT INTO bucket_sum (bucket, range, change, rows, checksum)
        SELECT bucket, {range_sql(synced, "row_id", is_sqlite=False)}, made_by, sum(rows), sum(checksum) FROM (
            SELECT bucket, row_id, 1 AS rows, checksum FROM touched WHERE checksum IS NOT NULL
            UNION ALL
            SELECT bucket_before, row_id, -1, -checksum_before FROM touched WHERE checksum_before IS NOT NULL
        ) AS moved GROUP BY 1, 2 {ADD_UP};
    """  # noqa: S608  # made of the registry, not of input


def _postgres_leave(synced: Synced, rows: str, bucket: str) -> str:
    return f"""
        INSERT INTO change_leave (entity, row_id, bucket, change)
        SELECT {synced.number}, new_row.id, {bucket}, made_by FROM {rows}
        ON CONFLICT (entity, row_id, bucket) DO UPDATE SET change = excluded.change;
    """  # noqa: S608  # made of the registry, not of input


def _postgres_entity(synced: Synced) -> Iterator[str]:
    name = synced.name
    new_bucket, old_bucket = (bucket_sql(synced, row, is_sqlite=False) for row in ("new_row", "old_row"))
    old_columns = ", ".join(f"old_row.{column}" for column in _columns(synced))
    new_columns = ", ".join(f"new_row.{column}" for column in _columns(synced))
    returned = f"new_rows new_row {_postgres_logged(synced, 'new_row')} WHERE logged.bucket <> {new_bucket}"
    both = "new_rows new_row FULL JOIN old_rows old_row ON old_row.id = new_row.id"
    changed = f"WHERE ({old_columns}) IS DISTINCT FROM ({new_columns})"
    moved = f"{both} WHERE {old_bucket} IS DISTINCT FROM {new_bucket}"
    kept, insert_leave, update_leave = postgres_kept(synced), "", ""
    if synced.bucket.key is not None:
        insert_leave = _postgres_leave(synced, returned, "logged.bucket")
        update_leave = _postgres_leave(synced, moved, old_bucket)
    bodies = {
        "insert": (
            "new_rows",
            insert_leave + _postgres_log(synced, "new_rows new_row", "new_row", "", deleted=0, kept=NOTHING_KEPT),
        ),
        "update": (f"{both} {changed}", update_leave + _postgres_log(synced, both, "new_row", changed, deleted=0, kept=kept)),
        "delete": ("old_rows", _postgres_log(synced, "old_rows old_row", "old_row", "", deleted=1, kept=kept)),
    }
    tables = {
        "insert": "REFERENCING NEW TABLE AS new_rows",
        "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "delete": "REFERENCING OLD TABLE AS old_rows",
    }
    for act, (touched, body) in bodies.items():
        yield f"""
            CREATE OR REPLACE FUNCTION capture_{name}_{act}() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
            DECLARE
                made_by bigint;
            BEGIN
                IF NOT EXISTS (SELECT 1 FROM {touched}) THEN
                    RETURN NULL;
                END IF;
                made_by := capture_change();
                {body}
                RETURN NULL;
            END $$
        """  # noqa: S608  # made of the registry, not of input
        yield f"DROP TRIGGER IF EXISTS capture_{act} ON {name}"
        yield (
            f"CREATE TRIGGER capture_{act} AFTER {act.upper()} ON {name} {tables[act]} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION capture_{name}_{act}()"
        )
    yield f"DROP TRIGGER IF EXISTS capture_id ON {name}"
    yield (
        f"CREATE TRIGGER capture_id BEFORE UPDATE OF id ON {name} FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id) "
        f"EXECUTE FUNCTION capture_refuse('{name}: an id never changes; delete the row and insert another')"
    )
    yield f"DROP TRIGGER IF EXISTS capture_truncate ON {name}"
    yield (
        f"CREATE TRIGGER capture_truncate BEFORE TRUNCATE ON {name} FOR EACH STATEMENT "
        f"EXECUTE FUNCTION capture_refuse('{name}: use DELETE, which the change log sees; TRUNCATE would pass it by')"
    )


def _sqlite_statements(connection: sa.Connection) -> Iterator[str]:
    old = (
        connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'capture_%'")
        .scalars()
        .all()
    )
    yield from (f"DROP TRIGGER {name}" for name in old)
    for synced in SYNCED:
        yield from _sqlite_entity(synced)
        yield from _sqlite_replace(synced, _sqlite_keys(connection, synced))
    yield from sqlite_assignment_statements(_SQLITE_COMMIT)


def _sqlite_log(synced: Synced, row: str, *, deleted: int) -> str:
    """Log a row. What it counted for stays beside it until sealing takes that away, but for a row that leaves its bucket."""
    bucket = bucket_sql(synced, row, is_sqlite=True)
    return f"""
        {_SQLITE_COMMIT}
        INSERT INTO bucket_sum (bucket, range, change, rows, checksum)
        SELECT bucket, {range_sql(synced, "row_id", is_sqlite=True)}, head + 1, -1, -checksum FROM change_log, change_head
         WHERE entity = {synced.number} AND row_id = {row}.id AND checksum IS NOT NULL AND bucket <> {bucket} {ADD_UP};
        INSERT INTO change_log (entity, row_id, bucket, change, deleted)
        VALUES ({synced.number}, {row}.id, {bucket}, (SELECT head + 1 FROM change_head), {deleted})
        ON CONFLICT (entity, row_id) DO UPDATE
           SET bucket = excluded.bucket, change = excluded.change, deleted = excluded.deleted,
               checksum = CASE WHEN bucket = excluded.bucket THEN checksum END;
    """  # noqa: S608  # made of the registry, not of input


def _sqlite_leave(synced: Synced, source: str, bucket: str) -> str:
    return f"""
        INSERT INTO change_leave (entity, row_id, bucket, change)
        SELECT {synced.number}, NEW.id, {bucket}, head + 1 FROM change_head{source}
        ON CONFLICT (entity, row_id, bucket) DO UPDATE SET change = excluded.change;
    """  # noqa: S608  # made of the registry, not of input


def _sqlite_entity(synced: Synced) -> Iterator[str]:
    name = synced.name
    new_bucket, old_bucket = (bucket_sql(synced, row, is_sqlite=True) for row in ("NEW", "OLD"))
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in _columns(synced))
    insert_leave = update_leave = ""
    if synced.bucket.key is not None:
        known = f", change_log WHERE entity = {synced.number} AND row_id = NEW.id AND bucket <> {new_bucket}"
        insert_leave = _sqlite_leave(synced, known, "change_log.bucket")
        update_leave = _sqlite_leave(synced, f" WHERE {old_bucket} <> {new_bucket}", old_bucket)
    refuse = f"SELECT RAISE(ABORT, '{name}: an id never changes; delete the row and insert another')"
    yield f"CREATE TRIGGER capture_{name}_id BEFORE UPDATE OF id ON {name} WHEN OLD.id IS NOT NEW.id BEGIN {refuse}; END"
    entered, gone = _sqlite_log(synced, "NEW", deleted=0), _sqlite_log(synced, "OLD", deleted=1)
    superseded = sqlite_superseded(synced)
    yield f"CREATE TRIGGER capture_{name}_insert AFTER INSERT ON {name} BEGIN {insert_leave} {entered} END"
    yield (
        f"CREATE TRIGGER capture_{name}_update AFTER UPDATE ON {name} WHEN {differs} "
        f"BEGIN {superseded} {update_leave} {entered} END"
    )
    yield f"CREATE TRIGGER capture_{name}_delete AFTER DELETE ON {name} BEGIN {superseded} {gone} END"


def _sqlite_keys(connection: sa.Connection, synced: Synced) -> list[tuple[str, ...]]:
    """The columns of each unique key of the table, beside its id."""
    keys: dict[str, tuple[str, ...]] = {}
    found = connection.exec_driver_sql(
        "SELECT key.name, part.name FROM pragma_index_list(?) key, pragma_index_info(key.name) part "
        """WHERE key."unique" AND key.origin <> 'pk' ORDER BY key.name, part.seqno""",
        (synced.name,),
    )
    for key, column in found:
        keys[key] = (*keys.get(key, ()), column)
    return list(keys.values())


def _sqlite_replace(synced: Synced, keys: list[tuple[str, ...]]) -> Iterator[str]:
    name = synced.name
    refuse = f"SELECT RAISE(ABORT, '{name}: this key is taken; to replace or upsert, say PRAGMA recursive_triggers = ON first')"
    for act, key in ((act, key) for act in ("INSERT", "UPDATE") for key in keys):
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        taken = f"EXISTS (SELECT 1 FROM {name} WHERE {same} AND id IS NOT NEW.id)"  # noqa: S608  # made of the registry, not of input
        unseen = "(SELECT recursive_triggers FROM pragma_recursive_triggers) = 0"
        touched = f"UPDATE OF {', '.join(key)}" if act == "UPDATE" else act
        trigger = f"capture_{name}_{act.lower()}_{'_'.join(key)}"
        yield f"CREATE TRIGGER {trigger} BEFORE {touched} ON {name} WHEN {taken} AND {unseen} BEGIN {refuse}; END"
