"""versions of files.

A file that was changed after it was sent may be sent anew: a row of the same path with the next version. A sent file that
was only touched keeps the time that it has on disk since then.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("files") as batch_op:
        batch_op.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("touched_ns", sa.BigInteger()))
        batch_op.drop_constraint("uq_files_job_id_path", type_="unique")
        batch_op.create_unique_constraint("uq_files_job_id_path_version", ["job_id", "path", "version"])


def downgrade() -> None:
    """Take back. Fails where a file has a later version: earlier programs can't tell these apart."""
    with op.batch_alter_table("files") as batch_op:
        batch_op.drop_constraint("uq_files_job_id_path_version", type_="unique")
        batch_op.create_unique_constraint("uq_files_job_id_path", ["job_id", "path"])
        batch_op.drop_column("touched_ns")
        batch_op.drop_column("version")
