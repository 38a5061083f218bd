"""How what services deliver into a bucket is sealed: as the bucket says (docs/adr/0014; DATA-05)."""

from __future__ import annotations

from ringfence.model.kinds import BUCKET
from ringfence.model.world import World
from ringfence.store.containers import Encryption, Sealing


def of_bucket(world: World, name: str) -> Sealing | None:
    """None: plain."""
    bucket = world.find(BUCKET, name)
    if bucket is None or bucket.encryption is None:
        return None
    return Sealing(Encryption(bucket.encryption.algorithm))
