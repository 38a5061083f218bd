"""What becomes of KMS keys with time: those pending deletion end, and those with rotation get new material (AWS KMS Developer Guide:
"Delete AWS KMS keys", "Rotate AWS KMS keys"; its events DeleteKey and RotateKey)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from ringfence.api import audit
from ringfence.api.ops.context import Call
from ringfence.api.ops.kms import keys, rotation
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.sealing import Sealer
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError
from ringfence.model.ids import IdSource
from ringfence.model.nouns.kms import KmsKey
from ringfence.model.world import Change, World
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence.keys")
_WHO = "AWS Internal"
Work = Callable[[Call, World, KmsKey], Change]


def keep(store: Store, sealer: Sealer | None, clock: Clock, ids: IdSource) -> None:
    """Do whatever is due. What fails is tried again the next time; a key whose time has come is refused meanwhile."""
    now, world = clock.now(), store.world
    for key in keys.due(world, now):
        _do(
            store,
            _call(key, "DeleteKey", now, sealer, ids),
            key,
            keys.due,
            lambda _call, held, key: keys.erased(held, key),
        )
    for key in rotation.due(world, now):
        _do(
            store,
            _call(key, "RotateKey", now, sealer, ids),
            key,
            rotation.due,
            lambda call, _held, key: rotation.rotated(call, key),
        )


def _do(store: Store, call: Call, key: KmsKey, due: Callable[[World, datetime], list[KmsKey]], work: Work) -> None:
    def decide(world: World) -> Commit:
        held = next((one for one in due(world, call.now) if one.id == key.id), None)
        if held is None:  # changed meanwhile
            return Commit()
        way = audit.Way(
            identity={"accountId": key.owner_id, "invokedBy": _WHO}, recipient=key.owner_id, event="AwsServiceEvent"
        )
        record = audit.record(call, None, read_only=False, touched=(key.id,), way=way)
        return Commit(change=work(call, world, held), audit=record, account_id=key.owner_id, request_id=call.request_id)

    try:
        store.write(decide)
    except ApiError as problem:
        log.error("%s of key %s is put off: %s", call.action, key.id, problem)


def _call(key: KmsKey, action: str, now: datetime, sealer: Sealer | None, ids: IdSource) -> Call:
    who = Principal(account_id=key.owner_id, arn=_WHO, user_id=_WHO, kind=PrincipalKind.SERVICE, name=_WHO)
    return Call(
        service="kms", action=action, region=key.region, principal=who, request_id=ids.uuid(), now=now, ids=ids, sealer=sealer,
        source_ip=_WHO, user_agent=_WHO,
    )  # fmt: skip
