"""Checksums of rows, and what each range of each bucket sums to. They are filled where the capture triggers are made."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("change_log", sa.Column("checksum", sa.BigInteger(), nullable=True))
    op.create_table(
        "bucket_sum",
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("range", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "range", "change", name=op.f("pk_bucket_sum")),
    )


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        # Triggers that name what is dropped here would be in the way; capture is installed with the newest schema.
        found = sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'capture_%'")
        for name in connection.execute(found).scalars().all():
            op.execute(f"DROP TRIGGER {name}")
    op.drop_table("bucket_sum")
    op.drop_column("change_log", "checksum")
