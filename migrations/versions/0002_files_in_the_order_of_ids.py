"""files in the order of ids.

The index by state is ordered by id, which makes the one of pending files superfluous; another one finds the few
files that something is to be said of. When a file was sent is
said by the end of its batch alone.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    pending = sa.text("state = 'pending'")
    with op.batch_alter_table("files") as batch_op:
        batch_op.drop_index("ix_files_pending", sqlite_where=pending, postgresql_where=pending)
        batch_op.drop_index("ix_files_state")
        batch_op.drop_column("sent_at")
    op.create_index("ix_files_state", "files", ["job_id", "state", "id", "size_bytes"])
    notable = sa.text("(unknown_attempts > 0 OR reason IS NOT NULL)")
    op.create_index(
        "ix_files_notable",
        "files",
        ["job_id", "state", "unknown_attempts", "reason"],
        sqlite_where=notable,
        postgresql_where=notable,
    )


def downgrade() -> None:
    """Take back."""
    pending = sa.text("state = 'pending'")
    op.drop_index("ix_files_notable", "files")
    op.drop_index("ix_files_state", "files")
    with op.batch_alter_table("files") as batch_op:
        batch_op.add_column(sa.Column("sent_at", sa.DateTime()))
        batch_op.create_index("ix_files_state", ["job_id", "state", "size_bytes"])
        batch_op.create_index(
            "ix_files_pending", ["job_id", "id"], sqlite_where=pending, postgresql_where=pending
        )
    op.execute(
        "UPDATE files SET sent_at = (SELECT ended_at FROM batches WHERE batches.id = files.batch_id) "
        "WHERE state = 'sent'"
    )
