"""Listings of objects (Amazon S3 API Reference: ListObjectsV2, ListObjects)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.ops.s3.common import bucket_of, files_of, moment, only, owner, quoted
from ringfence.model.errors import fault
from ringfence.model.nouns.trail import Bucket
from ringfence.model.world import World

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """`keys` and common `prefixes` of a page; `last`: where the next one goes on, None when there is none."""

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    last: str | None


def page(keys: list[str], prefix: str, delimiter: str, after: str, size: int) -> Page:
    """The page behind `after`, which is a key or a common prefix. `keys` are in order and begin with `prefix`.

    A common prefix counts as one. Each key is in one page, itself or by its common prefix.
    """
    shown, rolled, last = list[str](), list[str](), after
    for key in keys:
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        common = key[: cut + len(delimiter)] if cut >= 0 else None
        if key <= after or common == after:
            continue
        if common is not None and rolled and rolled[-1] == common:
            continue
        if len(shown) + len(rolled) >= size:
            return Page(tuple(shown), tuple(rolled), last if size else None)
        if common is None:
            shown.append(key)
        else:
            rolled.append(common)
        last = common or key
    return Page(tuple(shown), tuple(rolled), None)


def _keys(call: Call, bucket: Bucket, prefix: str) -> list[str]:
    try:
        return list(files_of(call).keys(bucket.id, prefix))
    except ValueError:  # no file can have a name like that
        return []


def _size(params: Params) -> int:
    size = params.get("MaxKeys")
    if size is None:
        return PAGE
    if size < 0:
        raise fault("InvalidArgument", message="Argument maxKeys must be an integer between 0 and 2147483647")
    return min(int(size), PAGE)


def _encoded(params: Params, text: str | None) -> str | None:
    if text is None or params.get("EncodingType") != "url":
        return text
    return quote(text, safe="/-._~*")


def _contents(
    call: Call, bucket: Bucket, params: Params, keys: tuple[str, ...], with_owner: bool
) -> list[dict[str, Any]]:
    made = []
    for key in keys:
        found = files_of(call).find(bucket.id, key)
        if found is not None:  # deleted meanwhile
            made.append({
                "Key": _encoded(params, key), "LastModified": moment(found.modified), "ETag": quoted(found.etag),
                "Size": found.size, "StorageClass": "STANDARD", **({"Owner": owner(bucket.owner_id)} if with_owner else {}),
            })  # fmt: skip
    return made


def _common(bucket: Bucket, params: Params, found: Page) -> dict[str, Any]:
    return {
        "Name": bucket.id, "Prefix": _encoded(params, params.get("Prefix") or ""), "MaxKeys": _size(params),
        "IsTruncated": found.last is not None, "Delimiter": _encoded(params, params.get("Delimiter")),
        "EncodingType": params.get("EncodingType"),
        "CommonPrefixes": [{"Prefix": _encoded(params, prefix)} for prefix in found.prefixes],
    }  # fmt: skip


@operation("s3:ListObjectsV2")
def list_objects_v2(call: Call, world: World, params: Params) -> Outcome:
    """ApiError NoSuchBucket, InvalidArgument."""
    only(params, "Prefix", "Delimiter", "MaxKeys", "EncodingType", "ContinuationToken", "StartAfter", "FetchOwner")
    bucket, prefix, token = bucket_of(call, world, params), params.get("Prefix") or "", params.get("ContinuationToken")
    after = _opened(token) if token is not None else params.get("StartAfter") or ""
    found = page(_keys(call, bucket, prefix), prefix, params.get("Delimiter") or "", after, _size(params))
    contents = _contents(call, bucket, params, found.keys, bool(params.get("FetchOwner")))
    return Outcome({
        **_common(bucket, params, found), "Contents": contents, "KeyCount": len(contents) + len(found.prefixes),
        "ContinuationToken": token, "StartAfter": _encoded(params, params.get("StartAfter")),
        "NextContinuationToken": base64.urlsafe_b64encode(found.last.encode()).decode() if found.last else None,
    })  # fmt: skip


def _opened(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise fault("InvalidArgument", message="The continuation token provided is incorrect") from None


@operation("s3:ListObjects")
def list_objects(call: Call, world: World, params: Params) -> Outcome:
    """The older listing. AWS: NextMarker only with a delimiter; else the last key is the marker."""
    only(params, "Prefix", "Delimiter", "MaxKeys", "EncodingType", "Marker")
    bucket, prefix, marker = bucket_of(call, world, params), params.get("Prefix") or "", params.get("Marker") or ""
    found = page(_keys(call, bucket, prefix), prefix, params.get("Delimiter") or "", marker, _size(params))
    following = found.last if params.get("Delimiter") else None
    return Outcome({
        **_common(bucket, params, found), "Contents": _contents(call, bucket, params, found.keys, True),
        "Marker": _encoded(params, marker), "NextMarker": _encoded(params, following),
    })  # fmt: skip
