"""The data keys of a database: each process has its own, kept in a table as the installation's key sealed it (docs/adr/0014)."""

from __future__ import annotations

import sqlite3

from ringfence.store import sealed
from ringfence.store.sealed import Damaged, DataKey, Opener, Run, Sealer


class OwnKeys:
    """`table` has an id and what is sealed; `what` is bound to it. `run` None: there is no key to seal with.

    sqlite3.Error when the data key of this process cannot be written down.
    """

    def __init__(self, db: sqlite3.Connection, sealer: Sealer | None, table: str, what: str) -> None:
        self._sealer, self._what = sealer, what
        self.run = None if sealer is None else Run(self._new(db, sealer, table))
        self._kept: dict[int, bytes] = dict(db.execute(f"select id, sealed from {table}"))
        self.opener = Opener(self._secret)

    def _new(self, db: sqlite3.Connection, sealer: Sealer, table: str) -> DataKey:
        (last,) = db.execute(f"select coalesce(max(id), 0) from {table}").fetchone()
        key = DataKey(last + 1, sealed.new_key())
        db.execute(f"insert into {table} values (?, ?)", (key.id, sealer.seal(key.secret, self._purpose(key.id))))
        return key

    def _secret(self, id: int) -> bytes:
        """Damaged."""
        if id not in self._kept or self._sealer is None:
            raise Damaged("its key is not here")
        try:
            return self._sealer.open(self._kept[id], self._purpose(id))
        except ValueError as problem:
            raise Damaged(str(problem)) from None

    def _purpose(self, id: int) -> str:
        return f"{self._what}, data key {id}"
