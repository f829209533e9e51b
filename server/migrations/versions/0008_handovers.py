"""Handovers of customers and territories, with what each rep loses by them."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "handover",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("territory_id", Identifier(), nullable=True),
        sa.Column("to_territory_id", Identifier(), nullable=True),
        sa.Column("from_rep_id", Identifier(), nullable=True),
        sa.Column("to_rep_id", Identifier(), nullable=True),
        sa.Column("late_orders", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("effective_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_by_id", Identifier(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_by_id", Identifier(), nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("commit_seq", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["territory_id"], ["territory.id"], name=op.f("fk_handover_territory_id")),
        sa.ForeignKeyConstraint(["to_territory_id"], ["territory.id"], name=op.f("fk_handover_to_territory_id")),
        sa.ForeignKeyConstraint(["from_rep_id"], ["rep.id"], name=op.f("fk_handover_from_rep_id")),
        sa.ForeignKeyConstraint(["to_rep_id"], ["rep.id"], name=op.f("fk_handover_to_rep_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handover")),
    )
    op.create_index("ix_handover_state", "handover", ["state", "effective_at_ms"], unique=False)
    op.create_table(
        "handover_customer",
        sa.Column("handover_id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.Column("from_territory_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["handover_id"], ["handover.id"], name=op.f("fk_handover_customer_handover_id")),
        sa.PrimaryKeyConstraint("handover_id", "customer_id", name=op.f("pk_handover_customer")),
    )
    op.create_index(op.f("ix_handover_customer_customer_id"), "handover_customer", ["customer_id"], unique=False)
    op.create_table(
        "handover_loss",
        sa.Column("handover_id", Identifier(), nullable=False),
        sa.Column("rep_id", Identifier(), nullable=False),
        sa.Column("customer_id", Identifier(), nullable=False),
        sa.ForeignKeyConstraint(["handover_id"], ["handover.id"], name=op.f("fk_handover_loss_handover_id")),
        sa.PrimaryKeyConstraint("handover_id", "rep_id", "customer_id", name=op.f("pk_handover_loss")),
    )
    op.create_index("ix_handover_loss_rep_id", "handover_loss", ["rep_id", "customer_id"], unique=False)


def downgrade() -> None:
    for table in ("handover_loss", "handover_customer", "handover"):
        op.drop_table(table)
