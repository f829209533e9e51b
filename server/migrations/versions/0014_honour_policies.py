"""Whether a price that was quoted and is another by now still holds."""

import sqlalchemy as sa
from alembic import op

from server.runtime.database import Identifier

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "honour_policy",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("otherwise", sa.Text(), nullable=False),
        sa.Column("hours", sa.BigInteger(), nullable=True),
        sa.Column("tolerance_basis_points", sa.BigInteger(), nullable=True),
        sa.Column("price_list_id", Identifier(), nullable=True),
        sa.Column("segment_id", Identifier(), nullable=True),
        sa.ForeignKeyConstraint(["price_list_id"], ["price_list.id"], name=op.f("fk_honour_policy_price_list_id")),
        sa.ForeignKeyConstraint(["segment_id"], ["segment.id"], name=op.f("fk_honour_policy_segment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_honour_policy")),
    )


def downgrade() -> None:
    op.drop_table("honour_policy")
