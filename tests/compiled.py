"""Each statement is compiled once a process, and not once a ledger: that took a fifth of the time of a short run.

SQLAlchemy keeps what it has compiled with each engine. A run of the product has one; tests open thousands.
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vl_ingest.ledger import database


class _Statements(dict[Any, Any]):
    """Compiled statements by all of SQLAlchemy's key but its first part, the dialect, of which there is one kind here."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Any, ...], value: Any) -> None:
        assert isinstance(key[0], sa.Dialect), "another version of SQLAlchemy has another key"
        super().__setitem__(key[1:], value)


def share_compiled_statements() -> None:
    """Let all ledgers that this process opens from now on share them."""
    make, statements = database._engine, _Statements()

    def sharing(url: sa.URL, readonly: Path | None) -> sa.Engine:
        engine = make(url, readonly)
        if engine.dialect.name == "sqlite":
            engine.update_execution_options(compiled_cache=statements)
        return engine

    database._engine = sharing
