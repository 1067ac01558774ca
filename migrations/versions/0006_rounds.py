"""rounds.

A file's row says which custom metadata fields have its value. A job may have more rounds than its first one: media that are added to the dataset that has been processed. A batch of
an addition has no transaction.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "rounds",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("known_by", sa.String(20), nullable=False),
        sa.Column("began_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime()),
        sa.Column("status", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_rounds"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_rounds_job_id_jobs"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_rounds_batch_id_batches"),
        sa.UniqueConstraint("job_id", "number", name="uq_rounds_job_id_number"),
    )
    with op.batch_alter_table("batches") as batch_op:
        batch_op.alter_column("transaction_id", existing_type=sa.Text(), nullable=True)
    with op.batch_alter_table("files") as batch_op:
        batch_op.add_column(sa.Column("fields", sa.Text()))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("files") as batch_op:
        batch_op.drop_column("fields")
    with op.batch_alter_table("batches") as batch_op:
        batch_op.alter_column("transaction_id", existing_type=sa.Text(), nullable=False)
    op.drop_table("rounds")
