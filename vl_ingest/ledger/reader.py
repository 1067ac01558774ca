"""Reading a ledger for days while others write it, and leaving nothing on disk that was not there."""

import threading
from collections.abc import Callable
from os import PathLike
from typing import TypeVar

from vl_ingest.ledger import Ledger
from vl_ingest.ledger.database import WrittenMeanwhile

T = TypeVar("T")
TRIES = 5


def asked(question: Callable[[], T]) -> T:
    """Return the answer to a question, which is asked again where a run begins in the middle of it."""
    for _ in range(TRIES - 1):
        try:
            return question()
        except WrittenMeanwhile:
            continue
    return question()


class Reader:
    """Answers questions about a ledger that need not be there yet, from any number of threads.

    No connection outlives a question: a run that ends finds itself alone with the file, and tidies up as ever.
    """

    def __init__(self, place: str | PathLike[str]) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._book: Ledger | None = None

    def ask(self, question: Callable[[Ledger], T]) -> T:
        """Return the answer, all of it of one moment. Raises `LedgerError`, also where there is no ledger (yet)."""
        return asked(lambda: self._ask(question))

    def _ask(self, question: Callable[[Ledger], T]) -> T:
        with self._lock:
            if self._book is None:
                self._book = Ledger(self._place, readonly=True)
            book = self._book
        with book.db.snapshot():
            return question(book)
