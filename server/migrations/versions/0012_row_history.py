"""What rows were that prices are made of, for as long as an order may be priced as its user saw it."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0012"
down_revision = "0013"
branch_labels = None
depends_on = None

# What is not sealed yet, of a foreign program on SQLite, was changed when nothing was kept.
_BEGIN = """
    UPDATE change_head SET history_floor = head
           + (SELECT count(*) FROM change_commit WHERE change = head + 1 AND commit_seq = head + 1)
"""


def upgrade() -> None:
    op.create_table(
        "row_history",
        sa.Column("entity", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key_id", Identifier(), nullable=False),
        sa.Column("row_id", Identifier(), nullable=False),
        sa.Column("until_change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since_change", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "key_id", "row_id", "until_change", name=op.f("pk_row_history")),
    )
    op.create_index("ix_row_history_until", "row_history", ["entity", "until_change"], unique=False)
    op.add_column("change_head", sa.Column("history_floor", sa.BigInteger(), server_default="0", nullable=False))
    op.execute(_BEGIN)


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":  # its triggers would name what is gone; an upgrade makes them anew
        found = sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'capture_%'")
        for name in connection.execute(found).scalars().all():
            op.execute(f"DROP TRIGGER {name}")
    op.drop_column("change_head", "history_floor")
    op.drop_table("row_history")
