"""The ledger's tables. Every change here is an alembic revision in `migrations/`.

A partial index is written for SQLite; to name PostgreSQL here too would import its dialect at every start
(`db.py` makes the same of it there). Times are UTC. Paths are kept reversible even where they are not valid text (`PathText`).
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from vl_ingest.domain.naming import path_from_text, path_to_text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment, stored without its zone (SQLite has none)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy's signature
        """Take the zone off."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy's signature
        """Put the zone back on."""
        return None if value is None else value.replace(tzinfo=UTC)


class PathText(TypeDecorator[str]):
    """A file system path as reversible text: bytes that are not UTF-8 become `\\xNN`, a backslash `\\\\`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  # SQLAlchemy's signature
        """Escape what is not valid text."""
        return None if value is None else path_to_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  # SQLAlchemy's signature
        """Give back the path the file system knows."""
        return None if value is None else path_from_text(value)


# SQLite numbers rows by itself only for INTEGER; elsewhere a million rows a job want 64 bits.
RowId = BigInteger().with_variant(Integer, "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("source", PathText, nullable=False),  # real path
    Column("name", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("settings", JSON, nullable=False),  # options of the last run, no secrets
    Column("dataset_id", Text),
    Column("transaction_id", Text),
    Column("run_id", RowId),  # the run that holds the job, or held it last
    Column("scan_run_id", RowId),  # the run that has scanned the whole folder
    Column("left_out", JSON, nullable=False),  # reason -> count, of the last finished scan
    Column("too_large_bytes", BigInteger),  # the smallest body that was refused for its size
    Column("status", Text),  # the server's word, verbatim
    Column("progress", Float),
    Column("status_before", Text),  # the server's word just before the trigger
    Column("message", Text),  # the server's word on why processing failed
    Column("created_at", UtcDateTime, nullable=False),
    Column("triggered_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("event_count", Integer, nullable=False, server_default="0"),
    Column("event_head", String(64)),  # the hash of the last event
)
_UNFINISHED = text("state NOT IN ('ready', 'errored', 'cancelled')")
Index(
    "uq_jobs_unfinished", jobs.c.source, jobs.c.name, jobs.c.base_url, unique=True, sqlite_where=_UNFINISHED
)

runs = Table(
    "runs",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("exit_code", Integer),
    Column("waiting_for", Text),  # what it waits for at this moment, in words
    Column("waiting_since", UtcDateTime),
)

batches = Table(
    "batches",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("parent_id", ForeignKey("batches.id")),  # the batch it was split from, or supersedes
    Column("transaction_id", Text),  # none: of an addition
    Column("state", String(20), nullable=False),
    Column("file_count", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
)
_BATCH_IN_FLIGHT = text("state = 'in_flight'")
Index("ix_batches_in_flight", batches.c.job_id, sqlite_where=_BATCH_IN_FLIGHT)

attempts = Table(
    "attempts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("number", Integer, nullable=False),  # from 1
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(20)),  # none: the intent has no receipt
    Column("http_status", Integer),
    Column("detail", Text),
    UniqueConstraint("batch_id", "number"),
)

rounds = Table(
    "rounds",  # by addition; the first, by a transaction, is the job's own
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("number", Integer, nullable=False),  # within the job, from 2
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("state", String(20), nullable=False),
    Column("known_by", String(20), nullable=False),  # what it rests on that it began
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("status", Text),  # the server's word at its end
    Column("message", Text),  # why it failed
    UniqueConstraint("job_id", "number"),
)

files = Table(
    "files",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("path", PathText, nullable=False),  # relative to the job's source, "/" between folders
    Column(
        "version", Integer, nullable=False, server_default="1"
    ),  # the newest one of a path is what is in the folder
    Column("sent_as", Text, nullable=False),  # the name on the wire
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("batch_id", ForeignKey("batches.id")),  # the last batch that carried it
    Column("attempts", Integer, nullable=False, server_default="0"),  # that carried it
    Column("unknown_attempts", Integer, nullable=False, server_default="0"),  # of those, perhaps delivered
    Column("changes", Integer, nullable=False, server_default="0"),  # times it changed while being sent
    Column(
        "touched_ns", BigInteger
    ),  # its time on disk, where that has changed since it was sent and the content has not
    Column("sha256", String(64)),  # of the bytes that were acknowledged, when the batch ended
    Column("reason", Text),
    # Who decided its state where that was no receipt: a person, a filter or an option; and why.
    Column("decided_by", Text),
    Column("decided_why", Text),
    # What the server's own list of the dataset says; none: not asked, or the list can't say.
    Column("listed", Integer),  # how often it is there
    Column("media_id", Text),
    Column("listed_at", UtcDateTime),  # when the list was read
    Column("fields", Text),  # names of custom metadata fields that have its value, each between commas
    UniqueConstraint("job_id", "path", "version"),
    UniqueConstraint("job_id", "sent_as"),
)
# In the order of ids, so that claiming and sending neighbours writes few pages; with the size, so that a count
# of files and bytes reads nothing else.
Index("ix_files_state", files.c.job_id, files.c.state, files.c.id, files.c.size_bytes)
FILE_NOTABLE = text("(unknown_attempts > 0 OR reason IS NOT NULL)")  # few of many
Index(
    "ix_files_notable",
    files.c.job_id,
    files.c.state,
    files.c.unknown_attempts,
    files.c.reason,
    sqlite_where=FILE_NOTABLE,
)
NOT_ONCE = text("listed <> 1")  # few of many, too
Index("ix_files_listed", files.c.job_id, files.c.listed, sqlite_where=NOT_ONCE)

events = Table(
    "events",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("number", Integer, nullable=False),  # from 1 within the job
    Column("run_id", RowId),
    Column("host", Text),
    Column("user", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("hash", String(64), nullable=False),  # see `chain`
    UniqueConstraint("job_id", "number"),
)
