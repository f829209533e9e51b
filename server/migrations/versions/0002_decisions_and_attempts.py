"""Who decided a held order, and how often a secret was tried."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_attempt")),
    )
    op.create_index(op.f("ix_attempt_since_ms"), "attempt", ["since_ms"], unique=False)

    op.create_table(
        "order_decision",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("order_id", Identifier(), nullable=False),
        sa.Column("user_id", Identifier(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_order_decision_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_order_decision_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_decision")),
    )
    op.create_index(op.f("ix_order_decision_order_id"), "order_decision", ["order_id"], unique=False)


def downgrade() -> None:
    op.drop_table("order_decision")
    op.drop_table("attempt")
