"""What imports did: each run, where each row came from, and the rows that were set aside."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "import_batch",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_batch")),
    )
    op.create_index("ix_import_batch_source", "import_batch", ["source", "id"], unique=False)
    op.create_table(
        "import_origin",
        sa.Column("row_id", Identifier(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("batch_id", Identifier(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["import_batch.id"], name=op.f("fk_import_origin_batch_id")),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_import_origin")),
    )
    op.create_index(op.f("ix_import_origin_batch_id"), "import_origin", ["batch_id"], unique=False)
    op.create_table(
        "import_quarantine",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("batch_id", Identifier(), nullable=False),
        sa.Column("healed_batch_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["import_batch.id"], name=op.f("fk_import_quarantine_batch_id")),
        sa.ForeignKeyConstraint(["healed_batch_id"], ["import_batch.id"], name=op.f("fk_import_quarantine_healed_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_quarantine")),
    )
    op.create_index(op.f("ix_import_quarantine_batch_id"), "import_quarantine", ["batch_id"], unique=False)
    op.create_index("ix_import_quarantine_source", "import_quarantine", ["source", "entity"], unique=False)


def downgrade() -> None:
    op.drop_table("import_quarantine")
    op.drop_table("import_origin")
    op.drop_table("import_batch")
