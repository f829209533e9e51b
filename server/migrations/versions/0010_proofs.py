"""Proofs that support asks devices for."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0010"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("device", sa.Column("proof_id", Identifier(), nullable=True))
    op.create_table(
        "proof_request",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("device_id", Identifier(), nullable=False),
        sa.Column("requested_by_id", Identifier(), nullable=False),
        sa.Column("requested_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_proof_request_device_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proof_request")),
    )
    op.create_index("ix_proof_request_device_id", "proof_request", ["device_id", "requested_at_ms"], unique=False)


def downgrade() -> None:
    op.drop_table("proof_request")
    op.drop_column("device", "proof_id")
