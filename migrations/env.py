"""Run the migrations: on the connection that vl_ingest/ledger/database.py hands over, or on `alembic -x ledger=PATH`."""

from typing import Literal

import sqlalchemy as sa
from alembic import context

from vl_ingest.ledger.database import to_url
from vl_ingest.ledger.tables import metadata


def render_item(kind: str, item: object, _autogen: object) -> str | Literal[False]:
    """Write our own column types as what the database stores, so that revisions import nothing of ours."""
    if kind == "type" and isinstance(item, sa.TypeDecorator):
        return f"sa.{type(item.impl_instance).__name__}()"
    return False


def run(connection: sa.Connection) -> None:
    """Migrate over `connection`, rebuilding tables where SQLite can't alter them."""
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=True, render_item=render_item
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    place = context.get_x_argument(as_dictionary=True)["ledger"]
    with sa.create_engine(to_url(str(place))).connect() as own:
        run(own)
