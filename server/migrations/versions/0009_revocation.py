"""The key by which a lost device is told to erase itself, and what devices of leavers still sent."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("device", sa.Column("wipe_key", sa.LargeBinary(), nullable=True))
    op.add_column("device", sa.Column("wiped_at_ms", sa.BigInteger(), nullable=True))
    op.create_table(
        "quarantined_intent",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", Identifier(), nullable=False),
        sa.Column("device_id", Identifier(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_by_id", Identifier(), nullable=True),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("as_rep_id", Identifier(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_quarantined_intent_device_id")),
        sa.ForeignKeyConstraint(["as_rep_id"], ["rep.id"], name=op.f("fk_quarantined_intent_as_rep_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantined_intent")),
    )
    op.create_index("ix_quarantined_intent_state", "quarantined_intent", ["state", "received_at_ms", "position"], unique=False)
    op.create_index(op.f("ix_quarantined_intent_device_id"), "quarantined_intent", ["device_id"], unique=False)


def downgrade() -> None:
    op.drop_table("quarantined_intent")
    op.drop_column("device", "wiped_at_ms")
    op.drop_column("device", "wipe_key")
