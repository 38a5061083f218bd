"""Tags of keys (AWS KMS API Reference: TagResource, UntagResource, ListResourceTags)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ringfence.api import keys
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.kms.serve import key_itself, kms, page
from ringfence.model.errors import fault
from ringfence.model.kinds import KMS_KEY
from ringfence.model.row import Tags
from ringfence.model.world import World, put

MAX_TAGS = 50


def checked_tags(existing: Tags, given: Iterable[Params]) -> Tags:
    """ApiError TagException, LimitExceededException."""
    pairs = [(str(tag["TagKey"]), str(tag["TagValue"])) for tag in given]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise fault("TagException", message="Duplicate tag keys")
    if any(name.lower().startswith("aws:") for name in names):
        raise fault("TagException", message="aws: prefixed tag key names are not allowed for external use")
    merged = {**dict(existing), **dict(pairs)}
    if len(merged) > MAX_TAGS:
        raise fault("LimitExceededException", message=f"A key can have at most {MAX_TAGS} tags.")
    return tuple(merged.items())


@kms("TagResource", changes_world=True)
def tag_resource(call: Call, world: World, params: Params) -> Outcome:
    key = keys.must_stay(key_itself(call, world, params["KeyId"]))
    return Outcome({}, put(KMS_KEY, replace(key, tags=checked_tags(key.tags, params["Tags"]))), touched=(key.id,))


@kms("UntagResource", changes_world=True)
def untag_resource(call: Call, world: World, params: Params) -> Outcome:
    key = keys.must_stay(key_itself(call, world, params["KeyId"]))
    kept = tuple((name, value) for name, value in key.tags if name not in params["TagKeys"])
    return Outcome({}, put(KMS_KEY, replace(key, tags=kept)), touched=(key.id,))


@kms("ListResourceTags", changes_world=False)
def list_resource_tags(call: Call, world: World, params: Params) -> Outcome:
    key = key_itself(call, world, params["KeyId"])
    shown, rest = page(key.tags, lambda tag: tag[0], params, default=50, most=1000)
    return Outcome({"Tags": [{"TagKey": k, "TagValue": v} for k, v in shown], **rest}, touched=(key.id,))
