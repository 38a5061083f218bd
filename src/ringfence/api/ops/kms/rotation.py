"""Rotation of key material (AWS KMS API Reference: EnableKeyRotation, RotateKeyOnDemand …; AWS KMS Developer Guide: "Rotate AWS KMS
keys"). What older material encrypted still opens."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from ringfence.api import keys
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.kms.serve import any_key, key_itself, kms, page
from ringfence.model.errors import fault
from ringfence.model.kinds import KMS_KEY, KMS_MATERIAL
from ringfence.model.nouns.kms import KmsKey, KmsMaterial
from ringfence.model.world import Change, World, put

ON_DEMAND = 25  # AWS KMS Developer Guide, "Resource quotas": on-demand rotations of a key


@kms("EnableKeyRotation", changes_world=True)
def enable_key_rotation(call: Call, world: World, params: Params) -> Outcome:
    """Every year, or after the days that are given; counted from now. DisabledException, KMSInvalidStateException."""
    key = keys.must_be_enabled(key_itself(call, world, params["KeyId"]))
    days = params.get("RotationPeriodInDays") or keys.YEAR
    turned = replace(key, rotation=days, rotates=call.now.timestamp() + days * keys.DAY)
    return Outcome({}, put(KMS_KEY, turned), touched=(key.id,))


@kms("DisableKeyRotation", changes_world=True)
def disable_key_rotation(call: Call, world: World, params: Params) -> Outcome:
    key = keys.must_be_enabled(key_itself(call, world, params["KeyId"]))
    return Outcome({}, put(KMS_KEY, replace(key, rotation=None, rotates=None)), touched=(key.id,))


@kms("GetKeyRotationStatus", changes_world=False)
def get_key_rotation_status(call: Call, world: World, params: Params) -> Outcome:
    """AWS: while a key is pending deletion it is not rotated, and says so."""
    key = key_itself(call, world, params["KeyId"])
    reply: dict[str, Any] = {"KeyId": key.id, "KeyRotationEnabled": key.rotation is not None and key.deletion is None}
    if reply["KeyRotationEnabled"] and key.rotates is not None:
        reply |= {"RotationPeriodInDays": key.rotation, "NextRotationDate": keys.moment(key.rotates)}
    return Outcome(reply, touched=(key.id,))


@kms("RotateKeyOnDemand", changes_world=True)
def rotate_key_on_demand(call: Call, world: World, params: Params) -> Outcome:
    """At once. LimitExceededException, DisabledException, KMSInvalidStateException."""
    key = keys.must_be_enabled(key_itself(call, world, params["KeyId"]))
    asked_for = [row for row in world.by(KMS_MATERIAL, "key", key.id) if row.how == "ON_DEMAND"]
    if len(asked_for) >= ON_DEMAND:
        raise fault("LimitExceededException", message=f"A key can be rotated on demand {ON_DEMAND} times.")
    return Outcome({"KeyId": key.id}, turned(call, key, "ON_DEMAND"), touched=(key.id,))


def turned(call: Call, key: KmsKey, how: str) -> Change:
    """The key with new material."""
    fresh = keys.sealed(call, key.id, how)
    return put(KMS_MATERIAL, fresh) + put(KMS_KEY, replace(key, current=fresh.material))


@kms("ListKeyRotations", changes_world=False)
def list_key_rotations(call: Call, world: World, params: Params) -> Outcome:
    """The rotations, or all materials: the first one came of none."""
    key = any_key(call, world, params["KeyId"])
    all_of_them = params.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
    rows = [row for row in world.by(KMS_MATERIAL, "key", key.id) if all_of_them or row.how is not None]
    place = {row.id: f"{position:09d}" for position, row in enumerate(rows)}
    shown, rest = page(rows, lambda row: place[row.id], params, default=100, most=1000)
    return Outcome({"Rotations": [_view(key, row) for row in shown], **rest}, touched=(key.id,))


def _view(key: KmsKey, row: KmsMaterial) -> dict[str, Any]:
    rotated = {"RotationDate": keys.moment(row.since), "RotationType": row.how} if row.how is not None else {}
    state = "CURRENT" if row.material == key.current else "NON_CURRENT"
    return {"KeyId": key.uuid, "KeyMaterialId": row.material, "KeyMaterialState": state, **rotated}


def due(world: World, now: datetime) -> list[KmsKey]:
    """The keys whose automatic rotation is due. Disabled ones wait."""
    return [
        key for key in world.all(KMS_KEY) if key.enabled and key.rotates is not None and key.rotates <= now.timestamp()
    ]


def rotated(call: Call, key: KmsKey) -> Change:
    """The automatic rotation of a key that is due."""
    change = turned(call, key, "AUTOMATIC")
    step: Any = change.steps[-1]
    after = call.now.timestamp() + (key.rotation or keys.YEAR) * keys.DAY
    return change + put(KMS_KEY, replace(step.row, rotates=after))
