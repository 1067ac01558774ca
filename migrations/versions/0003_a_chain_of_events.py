"""a chain of events.

Each event is numbered within its job, names host and user, and is sealed by a hash that covers the one before;
the job's row holds the head. What is there already is numbered and sealed as it stands.

Revision ID: 0003
Revises: 0002
"""

from datetime import UTC

import sqlalchemy as sa
from alembic import op

# Not a copy: what is sealed here is verified by the same function.
from vl_ingest.ledger.chain import event_hash

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

jobs = sa.table("jobs", *map(sa.column, ("id", "event_count", "event_head")))
runs = sa.table("runs", *map(sa.column, ("id", "host")))
events = sa.table(
    "events",
    *map(sa.column, ("id", "job_id", "number", "run_id", "host", "kind", "hash")),
    sa.column("at", sa.DateTime()),
    sa.column("facts", sa.JSON()),
)


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("event_count", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("event_head", sa.String(length=64)))
    with op.batch_alter_table("events") as batch_op:
        batch_op.add_column(sa.Column("number", sa.Integer()))
        batch_op.add_column(sa.Column("host", sa.Text()))
        batch_op.add_column(sa.Column("user", sa.Text()))
        batch_op.add_column(sa.Column("hash", sa.String(length=64)))
    _seal(op.get_bind())
    with op.batch_alter_table("events") as batch_op:
        batch_op.alter_column("number", nullable=False)
        batch_op.alter_column("hash", nullable=False)
        batch_op.drop_index("ix_events_job_id")
        batch_op.create_unique_constraint("uq_events_job_id_number", ["job_id", "number"])


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("events") as batch_op:
        batch_op.drop_constraint("uq_events_job_id_number", type_="unique")
        batch_op.create_index("ix_events_job_id", ["job_id"])
        for column in ("number", "host", "user", "hash"):
            batch_op.drop_column(column)
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.drop_column("event_count")
        batch_op.drop_column("event_head")


def _seal(connection: sa.Connection) -> None:
    """Number and seal the events of each job in the order in which they were recorded."""
    hosts: dict[int | None, str] = {row.id: row.host for row in connection.execute(sa.select(runs))}
    for job_id in connection.execute(sa.select(jobs.c.id)).scalars().all():
        number, head = 0, None
        query = sa.select(events).where(events.c.job_id == job_id).order_by(events.c.id)
        for row in connection.execute(query).all():
            number += 1
            host = hosts.get(row.run_id)
            head = event_hash(
                previous=head, number=number, job_id=job_id, run_id=row.run_id, at=row.at.replace(tzinfo=UTC),
                host=host, user=None, kind=row.kind, facts=row.facts,
            )  # fmt: skip
            connection.execute(
                sa.update(events).where(events.c.id == row.id).values(number=number, host=host, hash=head)
            )
        connection.execute(
            sa.update(jobs).where(jobs.c.id == job_id).values(event_count=number, event_head=head)
        )
