"""Which rep works which territory is in the log as well, though it never travels.

A change of it takes a place in the order of commits, under the bucket of the rep: whoever reads the log learns that this
rep's scope may be another from there on, and its devices are told.
"""

from collections.abc import Iterator
from typing import Final

ASSIGNMENT_ENTITY: Final = 0
"""Stands in the log for the territories of a rep; the entities that travel are numbered from 1. The row's id is the rep's."""


def postgres_assignment_statements(log: str) -> Iterator[str]:
    """The triggers of PostgreSQL. `log` is SQL that takes a change's number by calling `capture_change`."""
    came, went = "(TABLE new_rows EXCEPT TABLE old_rows)", "(TABLE old_rows EXCEPT TABLE new_rows)"
    touched = {
        "insert": ("SELECT DISTINCT rep_id FROM new_rows", "REFERENCING NEW TABLE AS new_rows"),
        "update": (
            f"SELECT DISTINCT rep_id FROM ({came} UNION ALL {went}) AS moved",  # noqa: S608  # no input in it
            "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        ),
        "delete": ("SELECT DISTINCT rep_id FROM old_rows", "REFERENCING OLD TABLE AS old_rows"),
    }
    for act, (reps, tables) in touched.items():
        yield f"""
            CREATE OR REPLACE FUNCTION capture_rep_territory_{act}() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE
                made_by bigint;
            BEGIN
                IF NOT EXISTS ({reps}) THEN
                    RETURN NULL;
                END IF;
                made_by := {log};
                INSERT INTO change_log (entity, row_id, bucket, change, deleted)
                SELECT {ASSIGNMENT_ENTITY}, rep_id, 'rep:' || encode(uuid_send(rep_id), 'hex'), made_by, 0 FROM ({reps}) AS reps
                ON CONFLICT (entity, row_id) DO UPDATE SET change = excluded.change;
                RETURN NULL;
            END $$
        """  # noqa: S608  # no input in it
        yield f"DROP TRIGGER IF EXISTS capture_{act} ON rep_territory"
        yield (
            f"CREATE TRIGGER capture_{act} AFTER {act.upper()} ON rep_territory {tables} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION capture_rep_territory_{act}()"
        )
    yield "DROP TRIGGER IF EXISTS capture_truncate ON rep_territory"
    yield (
        "CREATE TRIGGER capture_truncate BEFORE TRUNCATE ON rep_territory FOR EACH STATEMENT EXECUTE FUNCTION "
        "capture_refuse('rep_territory: use DELETE, which the change log sees; TRUNCATE would pass it by')"
    )


def sqlite_assignment_statements(commit: str) -> Iterator[str]:
    """The triggers of SQLite. `commit` is SQL that makes the unsealed commit where there is none."""

    def logged(row: str) -> str:
        return f"""
            INSERT INTO change_log (entity, row_id, bucket, change, deleted)
            VALUES ({ASSIGNMENT_ENTITY}, {row}.rep_id, 'rep:' || lower(hex({row}.rep_id)), (SELECT head + 1 FROM change_head), 0)
            ON CONFLICT (entity, row_id) DO UPDATE SET change = excluded.change;
        """  # noqa: S608  # no input in it

    moved = "OLD.rep_id IS NOT NEW.rep_id OR OLD.territory_id IS NOT NEW.territory_id"
    on = {
        "insert": ("INSERT ON rep_territory", logged("NEW")),
        "update": (f"UPDATE ON rep_territory WHEN {moved}", logged("OLD") + logged("NEW")),
        "delete": ("DELETE ON rep_territory", logged("OLD")),
    }
    for act, (event, body) in on.items():
        yield f"CREATE TRIGGER capture_rep_territory_{act} AFTER {event} BEGIN {commit} {body} END"
