"""The bodies of audit records, encrypted (DATA-05, docs/adr/0014).

Each process has a data key of its own, which is in the database as the installation's key sealed it; a body is bound to its
record's number. Those written before there was this are left as they were.
"""

from __future__ import annotations

import logging
import sqlite3
import threading

from ringfence.store import sealed
from ringfence.store.own_keys import OwnKeys
from ringfence.store.sealed import Damaged, Sealer

log = logging.getLogger("ringfence.store")


class Bodies:
    """sqlite3.Error when the data key of this process cannot be written down."""

    def __init__(self, db: sqlite3.Connection, sealer: Sealer | None) -> None:
        keys = OwnKeys(db, sealer, "audit_key", "audit records")
        self._run, self._opener, self._lock = keys.run, keys.opener, threading.Lock()

    def kept(self, number: int, record: bytes) -> bytes:
        """Only inside a transaction: nothing else is sealed meanwhile."""
        return record if self._run is None else self._run.seal(record, _place(number))

    def opened(self, number: int, kept: bytes) -> bytes:
        """Damaged."""
        if not sealed.is_message(kept):
            return kept
        try:
            with self._lock:
                return self._opener.open(kept, _place(number))
        except Damaged:
            log.critical("audit record %d does not open: it was altered, or its key is not here", number)
            raise Damaged(f"audit record {number} does not open") from None

    def found(self, number: int, kept: bytes) -> bytes | None:
        """None for one that does not open."""
        try:
            return self.opened(number, kept)
        except Damaged:
            return None


def _place(number: int) -> bytes:
    return number.to_bytes(8, "big")
