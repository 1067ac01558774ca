"""what the server lists.

A file's row says how often the server's own list of the dataset has it, under which id, and when that was asked. An
index holds the few files that are not listed exactly once.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("files") as batch_op:
        batch_op.add_column(sa.Column("listed", sa.Integer()))
        batch_op.add_column(sa.Column("media_id", sa.Text()))
        batch_op.add_column(sa.Column("listed_at", sa.DateTime()))
    unlike = sa.text("listed <> 1")
    op.create_index(
        "ix_files_listed", "files", ["job_id", "listed"], sqlite_where=unlike, postgresql_where=unlike
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_files_listed", "files")
    with op.batch_alter_table("files") as batch_op:
        batch_op.drop_column("listed_at")
        batch_op.drop_column("media_id")
        batch_op.drop_column("listed")
