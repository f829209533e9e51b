"""What devices say of themselves: reports, receipts for what they erased, proofs."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0007"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_report",
        sa.Column("device_id", Identifier(), nullable=False),
        sa.Column("reported_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("epoch", Identifier(), nullable=True),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("is_whole", sa.Boolean(), nullable=False),
        sa.Column("outbox_count", sa.BigInteger(), nullable=False),
        sa.Column("oldest_unsent_ms", sa.BigInteger(), nullable=True),
        sa.Column("problem_code", sa.Text(), nullable=True),
        sa.Column("problem_detail", sa.Text(), nullable=True),
        sa.Column("problem_since_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_device_report_device_id")),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_report")),
    )
    op.create_table(
        "purge_receipt",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("device_id", Identifier(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("purged_at_cursor", sa.BigInteger(), nullable=False),
        sa.Column("purged_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_purge_receipt_device_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purge_receipt")),
    )
    op.create_index("ix_purge_receipt_device_id", "purge_receipt", ["device_id", "bucket"], unique=False)
    op.create_table(
        "device_proof",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("device_id", Identifier(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("is_equal", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("buckets", sa.BigInteger(), nullable=False),
        sa.Column("differing_ranges", sa.BigInteger(), nullable=False),
        sa.Column("repaired_ranges", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_device_proof_device_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_proof")),
    )
    op.create_index("ix_device_proof_device_id", "device_proof", ["device_id", "received_at_ms"], unique=False)


def downgrade() -> None:
    for table in ("device_proof", "purge_receipt", "device_report"):
        op.drop_table(table)
