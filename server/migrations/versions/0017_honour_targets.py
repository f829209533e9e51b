"""One policy on overtaken quotations for each list, each segment, and everyone; and none for no time at all."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_EVERYONES = sa.text("price_list_id IS NULL AND segment_id IS NULL")

# Of several for the same the one with the smallest id counted: that one stays.
_WITHOUT_EFFECT = """
    DELETE FROM honour_policy WHERE EXISTS (
        SELECT 1 FROM honour_policy earlier
         WHERE earlier.id < honour_policy.id
           AND (earlier.price_list_id = honour_policy.price_list_id
                OR earlier.segment_id = honour_policy.segment_id
                OR (earlier.price_list_id IS NULL AND earlier.segment_id IS NULL
                    AND honour_policy.price_list_id IS NULL AND honour_policy.segment_id IS NULL)))
"""

# Nothing is sent and decided in the same millisecond: of a policy for no hours only what it says otherwise counted.
_FOR_NO_TIME = """
    UPDATE honour_policy SET mode = otherwise, otherwise = 're_price', hours = NULL, tolerance_basis_points = NULL
     WHERE hours = 0
"""


def upgrade() -> None:
    op.execute(_WITHOUT_EFFECT)
    op.execute(_FOR_NO_TIME)
    op.create_index("uq_honour_policy_price_list_id", "honour_policy", ["price_list_id"], unique=True)
    op.create_index("uq_honour_policy_segment_id", "honour_policy", ["segment_id"], unique=True)
    op.create_index(
        "uq_honour_policy_everyone",
        "honour_policy",
        [sa.text("(price_list_id IS NULL)")],
        unique=True,
        postgresql_where=_EVERYONES,
        sqlite_where=_EVERYONES,
    )


def downgrade() -> None:
    for name in ("everyone", "segment_id", "price_list_id"):
        op.drop_index(f"uq_honour_policy_{name}", table_name="honour_policy")
