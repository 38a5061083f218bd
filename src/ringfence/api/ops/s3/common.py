"""What S3's operations share: the bucket named, the files behind it, and the refusal of what is not here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from ringfence.api.ops.context import Call, Params
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import BUCKET
from ringfence.model.nouns.trail import Bucket
from ringfence.model.world import World
from ringfence.store.buckets import BucketFiles, Object

MAX_KEY = 1024  # bytes
#: members that say nothing about what is done
_HARMLESS = frozenset({"Bucket", "ExpectedBucketOwner", "RequestPayer", "ContentMD5", "ChecksumAlgorithm"})
#: members that ask for nothing when they have this value
_DEFAULTS: dict[str, object] = {
    "StorageClass": "STANDARD", "VersionId": "null", "ObjectLockEnabledForBucket": False, "BypassGovernanceRetention": False,
    "ObjectOwnership": "BucketOwnerEnforced", "TaggingDirective": "COPY", "ConfirmRemoveSelfBucketAccess": False,
}  # fmt: skip


def bucket_of(call: Call, world: World, params: Params) -> Bucket:
    """ApiError NoSuchBucket; AccessDenied when it is not whose the caller expects."""
    bucket = world.find(BUCKET, params["Bucket"])
    if bucket is None:
        raise fault("NoSuchBucket")
    expected = params.get("ExpectedBucketOwner")
    if expected and expected != bucket.owner_id:
        raise fault("AccessDenied", message="Access Denied")
    return bucket


def files_of(call: Call) -> BucketFiles:
    assert call.objects is not None  # the pipeline refuses S3 without them
    return call.objects


def only(params: Params, *known: str) -> None:
    """ApiError NotImplemented for a member that is not served: nothing is taken and then left undone."""
    for name, value in params.items():
        if name in known or name in _HARMLESS or value in (None, "", (), [], {}):
            continue
        if name in _DEFAULTS and value == _DEFAULTS[name]:
            continue
        raise fault(
            "NotImplemented", message=f"{name} implies functionality that is not implemented by this installation"
        )


def check_acl(params: Params, *allowed: str) -> None:
    """AWS: with ACLs disabled only the bucket owner's full control can be asked for."""
    if params.get("ACL") not in (None, *allowed):
        raise fault("AccessControlListNotSupported")


def key_of(params: Params) -> str:
    """ApiError KeyTooLongError."""
    key = str(params["Key"])
    if len(key.encode()) > MAX_KEY:
        raise fault("KeyTooLongError")
    return key


def unusable(problem: ValueError) -> ApiError:
    """A key that cannot be a file (`store/buckets.py`)."""
    return fault("InvalidArgument", message=f"The key cannot be stored: {problem}")


def quoted(etag: str) -> str:
    return f'"{etag}"'


def moment(seconds: float) -> datetime:
    """To the second, as Last-Modified has it."""
    return datetime.fromtimestamp(int(seconds), UTC)


def owner(account_id: str) -> dict[str, str]:
    """An account's canonical user: 64 hexadecimal digits that tell nothing of the account id."""
    return {"ID": hashlib.sha256(f"canonical user {account_id}".encode()).hexdigest()}


# ---------------------------------------------------------------------- conditions
def _tags(text: str) -> Iterable[str]:
    return (part.strip().removeprefix("W/").strip('"') for part in text.split(","))


def _matches(text: str, etag: str) -> bool:
    return text.strip() == "*" or etag in _tags(text)


def check_conditions(params: Params, found: Object, prefix: str = "", reading: bool = True) -> None:
    """RFC 9110, section 13.2.2. ApiError PreconditionFailed, NotModified (412 for a copy's source)."""
    modified = moment(found.modified)
    match, unmodified = params.get(f"{prefix}IfMatch"), params.get(f"{prefix}IfUnmodifiedSince")
    if match is not None:
        if not _matches(match, found.etag):
            raise fault("PreconditionFailed")
    elif unmodified is not None and modified > unmodified:
        raise fault("PreconditionFailed")
    none, since = params.get(f"{prefix}IfNoneMatch"), params.get(f"{prefix}IfModifiedSince")
    stale = "NotModified" if reading else "PreconditionFailed"
    if none is not None:
        if _matches(none, found.etag):
            raise fault(stale)
    elif since is not None and modified <= since:
        raise fault(stale)


def check_before_writing(params: Params, found: Object | None) -> None:
    """User Guide, "Conditional writes". ApiError PreconditionFailed, NoSuchKey."""
    if params.get("IfNoneMatch") and found is not None and _matches(params["IfNoneMatch"], found.etag):
        raise fault("PreconditionFailed")
    if params.get("IfMatch"):
        if found is None:
            raise fault("NoSuchKey")
        if not _matches(params["IfMatch"], found.etag):
            raise fault("PreconditionFailed")


_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def span(text: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the bytes asked for; None: all. ApiError InvalidRange."""
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None or not (found[1] or found[2]):
        return None  # RFC 9110: a range that is none is ignored
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
    else:
        start = int(found[1])
        end = min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start >= end:
        raise fault("InvalidRange")
    return start, end
