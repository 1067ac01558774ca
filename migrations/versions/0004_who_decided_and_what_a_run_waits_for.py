"""who decided, and what a run waits for.

A file's row names who decided its state where that was no receipt (a person, a filter, an option), and why; a run's row
says what the run waits for, and since when. What a job knows of earlier decisions stays in its events.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("files") as batch_op:
        batch_op.add_column(sa.Column("decided_by", sa.Text()))
        batch_op.add_column(sa.Column("decided_why", sa.Text()))
    with op.batch_alter_table("runs") as batch_op:
        batch_op.add_column(sa.Column("waiting_for", sa.Text()))
        batch_op.add_column(sa.Column("waiting_since", sa.DateTime()))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("runs") as batch_op:
        batch_op.drop_column("waiting_since")
        batch_op.drop_column("waiting_for")
    with op.batch_alter_table("files") as batch_op:
        batch_op.drop_column("decided_why")
        batch_op.drop_column("decided_by")
