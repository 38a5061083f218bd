"""One transaction of SQLite: all of it or nothing, and on disk when it ends."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ringfence.model.errors import fault

log = logging.getLogger("ringfence.events")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing on one connection. ApiError ServiceUnavailableException when the disk fails."""
    try:
        db.execute("begin immediate")
        yield db
        db.execute("commit")
    except BaseException as problem:
        if db.in_transaction:  # SQLite itself may have rolled back already
            db.rollback()
        if isinstance(problem, sqlite3.Error):
            log.critical("log events and metrics cannot be written: %s", problem)
            raise fault("ServiceUnavailableException", message="The service cannot complete the request.") from problem
        raise
