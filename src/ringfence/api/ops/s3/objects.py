"""Objects (Amazon S3 API Reference: PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects).

An acknowledged object is on disk. Objects are not in the World; whoever calls these holds the files' lock when they write.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ringfence.api.authorise import s3 as asking
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.ops.s3.common import (
    bucket_of,
    check_acl,
    check_before_writing,
    check_conditions,
    files_of,
    key_of,
    moment,
    only,
    quoted,
    span,
    unusable,
)
from ringfence.api.ops.s3.encryption import ASKED, body_of, damaged, sealing, told
from ringfence.api.wire.integrity import ALGORITHMS
from ringfence.api.wire.values import timestamp_text
from ringfence.model.errors import ApiError, fault
from ringfence.model.nouns.trail import Bucket
from ringfence.model.world import World
from ringfence.store.buckets import Object

#: member -> header, of what an object is stored and given back with
HEADERS = {
    "CacheControl": "cache-control", "ContentDisposition": "content-disposition", "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language", "Expires": "expires",
}  # fmt: skip
_OVERRIDES = {
    "ResponseCacheControl": "CacheControl", "ResponseContentDisposition": "ContentDisposition", "ResponseExpires": "Expires",
    "ResponseContentEncoding": "ContentEncoding", "ResponseContentLanguage": "ContentLanguage", "ResponseContentType": "ContentType",
}  # fmt: skip
#: algorithm -> member
CHECKSUMS = {
    "crc32": "ChecksumCRC32", "crc32c": "ChecksumCRC32C", "crc64nvme": "ChecksumCRC64NVME", "sha1": "ChecksumSHA1",
    "sha256": "ChecksumSHA256",
}  # fmt: skip
CONDITIONS = ("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince")
STORED = (*HEADERS, "ContentType", "Metadata")


def stored_with(params: Params) -> dict[str, Any]:
    """`content_type`, `metadata` and `headers` of an object about to be written."""
    headers: dict[str, str] = {}
    for name, header in HEADERS.items():
        value = params.get(name)
        if name == "ContentEncoding" and value:
            value = ",".join(part.strip() for part in value.split(",") if part.strip().lower() != "aws-chunked")
        if value:
            headers[header] = str(timestamp_text(value, "rfc822")) if name == "Expires" else str(value)
    return {
        "content_type": params.get("ContentType") or "binary/octet-stream", "metadata": dict(params.get("Metadata") or {}),
        "headers": headers,
    }  # fmt: skip


def check_size(call: Call, size: int) -> None:
    """ApiError EntityTooLarge."""
    call.check_quota("s3-object-bytes", size)


@operation("s3:PutObject", mutating=False, objects=True)
def put_object(call: Call, world: World, params: Params) -> Outcome:
    """Its checksums were verified when it was read. ApiError NoSuchBucket, EntityTooLarge, PreconditionFailed, …"""
    only(params, "Key", "Body", "ACL", "ContentLength", "IfMatch", "IfNoneMatch", *CHECKSUMS.values(), *STORED, *ASKED)
    check_acl(params, "bucket-owner-full-control")
    bucket, key, files = bucket_of(call, world, params), key_of(params), files_of(call)
    body = bytes(params.get("Body") or b"")
    check_size(call, len(body))
    about = stored_with(params)
    kept, how = _checksums(params, body), sealing(call, world, bucket, key, params)
    try:
        check_before_writing(params, files.find(bucket.id, key))
        headers = {**about.pop("headers"), **{f"x-amz-checksum-{name}": value for name, value in kept.items()}}
        made = files.put(bucket.id, key, body, headers=headers, sealing=how, **about)
    except ValueError as problem:
        raise unusable(problem) from None
    return Outcome({
        "ETag": quoted(made.etag), **{CHECKSUMS[name]: value for name, value in kept.items()}, "ChecksumType": "FULL_OBJECT",
        **told(made.encryption, context=True),
    })  # fmt: skip


def _checksums(params: Params, body: bytes) -> dict[str, str]:
    """The checksum kept with the object: those named; AWS computes CRC64NVME when none is."""
    named = str(params.get("ChecksumAlgorithm") or "").lower()
    names = [name for name, member in CHECKSUMS.items() if params.get(member) or name == named] or ["crc64nvme"]
    return {name: base64.b64encode(ALGORITHMS[name](body)).decode() for name in names}


# ---------------------------------------------------------------------- reading
def found_object(call: Call, world: World, bucket: Bucket, key: str) -> Object:
    """ApiError NoSuchKey; AccessDenied to who may not list the bucket (AWS: they do not learn which keys exist)."""
    try:
        found = files_of(call).find(bucket.id, key)
    except ValueError:  # no file can have the name, so there is none
        found = None
    if found is None:
        asking.check(call, world, "s3:ListBucket", bucket.id)
        raise fault("NoSuchKey")
    if found.damaged:
        raise damaged(bucket.id, key, found.damaged)
    return found


def shown(found: Object, params: Params) -> dict[str, Any]:
    """The headers an object is given back with."""
    by_header = {header: member for member, header in HEADERS.items()}
    reply: dict[str, Any] = {
        "AcceptRanges": "bytes", "LastModified": moment(found.modified), "ETag": quoted(found.etag),
        "ContentType": found.content_type, "Metadata": dict(found.metadata), **told(found.encryption),
    }  # fmt: skip
    for header, value in found.headers.items():
        if header in by_header:
            reply[by_header[header]] = value
    for name, member in _OVERRIDES.items():
        if params.get(name):
            reply[member] = params[name]
    return reply


def _checksum(found: Object, params: Params, whole: bool) -> Mapping[str, str]:
    if params.get("ChecksumMode") != "ENABLED" or not whole:
        return {}
    kept = {
        member: found.headers[f"x-amz-checksum-{name}"] for name, member in CHECKSUMS.items()
        if f"x-amz-checksum-{name}" in found.headers
    }  # fmt: skip
    return {**kept, "ChecksumType": "FULL_OBJECT"} if kept else {}


def _read(call: Call, world: World, params: Params) -> tuple[Bucket, Object, int, int, dict[str, Any]]:
    only(params, "Key", "Range", "ChecksumMode", *CONDITIONS, *_OVERRIDES)
    bucket, key = bucket_of(call, world, params), key_of(params)
    found = found_object(call, world, bucket, key)
    check_conditions(params, found)
    part = span(params.get("Range"), found.size)
    start, end = part or (0, found.size)
    reply = {**shown(found, params), **_checksum(found, params, part is None), "ContentLength": end - start}
    if part is not None:
        reply["ContentRange"] = f"bytes {start}-{end - 1}/{found.size}"
    return bucket, found, start, end, reply


@operation("s3:GetObject")
def get_object(call: Call, world: World, params: Params) -> Outcome:
    """All of it or a range. ApiError NoSuchKey, InvalidRange, NotModified, PreconditionFailed."""
    bucket, found, start, end, reply = _read(call, world, params)
    body = body_of(call, world, bucket, found, start, end)
    if len(body) != end - start:  # replaced by a shorter one meanwhile: half an answer would be none
        raise fault("ServiceUnavailable", message="The object is being replaced")
    return Outcome({**reply, "Body": body})


@operation("s3:HeadObject", mutating=False)
def head_object(call: Call, world: World, params: Params) -> Outcome:
    bucket, found, _, _, reply = _read(call, world, params)
    if params.get("ChecksumMode") == "ENABLED" and found.encryption is not None:
        body_of(call, world, bucket, found, 0, 0)  # AWS: checksums tell of what is inside, and need the key
    return Outcome(reply)


# ---------------------------------------------------------------------- deleting
@operation("s3:DeleteObject", mutating=False, objects=True)
def delete_object(call: Call, world: World, params: Params) -> Outcome:
    """AWS: no fault when there is none."""
    only(params, "Key", "IfMatch")
    bucket, key = bucket_of(call, world, params), key_of(params)
    _delete(call, bucket, key, params)
    return Outcome({})


def _delete(call: Call, bucket: Bucket, key: str, params: Params) -> None:
    files = files_of(call)
    try:
        found = files.find(bucket.id, key)
    except ValueError:
        return
    check_before_writing({"IfMatch": params.get("IfMatch")}, found)
    if found is not None:
        files.delete(bucket.id, key)


@operation("s3:DeleteObjects", mutating=False, objects=True)
def delete_objects(call: Call, world: World, params: Params) -> Outcome:
    """Each key is asked for and answered by itself. ApiError MalformedXML for more than 1,000."""
    only(params, "Delete")
    bucket, asked = bucket_of(call, world, params), params["Delete"]
    if not 1 <= len(asked.get("Objects") or ()) <= 1000:
        raise fault("MalformedXML")
    deleted, errors = list[dict[str, Any]](), list[dict[str, Any]]()
    for item in asked["Objects"]:
        try:
            only(item, "Key", "ETag")
            key = key_of(item)
            asking.check(call, world, "s3:DeleteObject", bucket.id, key)
            _delete(call, bucket, key, {"IfMatch": item.get("ETag")})
            deleted.append({"Key": key})
        except ApiError as refused:
            errors.append({"Key": item["Key"], "Code": refused.code, "Message": refused.message})
    return Outcome({"Deleted": [] if asked.get("Quiet") else deleted, "Errors": errors})
