"""Who works which territory is in the log, and who listens is told of commits: the triggers are installed anew."""

revision = "0004"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing of the schema: `migrate` installs the triggers after the last revision, and a server asks for that revision."""


def downgrade() -> None:
    """The triggers go with their tables."""
