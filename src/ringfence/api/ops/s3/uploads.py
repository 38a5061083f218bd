"""Uploads in parts (Amazon S3 API Reference: CreateMultipartUpload, UploadPart, CompleteMultipartUpload …)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.ops.s3.common import (
    bucket_of,
    check_acl,
    check_before_writing,
    files_of,
    key_of,
    moment,
    only,
    owner,
    quoted,
    unusable,
)
from ringfence.api.ops.s3.encryption import ASKED, damaged, sealing, secret_of, told
from ringfence.api.ops.s3.objects import CHECKSUMS, STORED, check_size, stored_with
from ringfence.api.wire.integrity import ALGORITHMS
from ringfence.model.errors import fault
from ringfence.model.nouns.trail import Bucket
from ringfence.model.world import World
from ringfence.store.buckets import Part, Upload
from ringfence.store.containers import Sealing
from ringfence.store.sealed import Damaged

MAX_PARTS = 10_000
SMALLEST = 5 << 20  # bytes of every part but the last
PAGE = 1000


def upload_of(call: Call, bucket: Bucket, key: str, id: str) -> Upload:
    """ApiError NoSuchUpload, also for one of another key."""
    found = files_of(call).uploads.find(id)
    if found is None or (found.bucket, found.key) != (bucket.id, key):
        raise fault("NoSuchUpload")
    return found


@operation("s3:CreateMultipartUpload", mutating=False, objects=True)
def create_multipart_upload(call: Call, world: World, params: Params) -> Outcome:
    only(params, "Key", "ACL", "ChecksumType", *STORED, *ASKED)
    check_acl(params, "bucket-owner-full-control")
    bucket, key = bucket_of(call, world, params), key_of(params)
    id = call.ids.uuid().replace("-", "")
    about = {**stored_with(params), "algorithm": str(params.get("ChecksumAlgorithm") or "").lower()}
    how = sealing(call, world, bucket, key, params)
    try:
        files_of(call).uploads.begin(id, bucket.id, key, call.now.timestamp(), about, how)
    except ValueError as problem:
        raise unusable(problem) from None
    algorithm, kind = params.get("ChecksumAlgorithm"), params.get("ChecksumType")
    if algorithm and not kind:
        kind = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
    return Outcome({
        "Bucket": bucket.id, "Key": key, "UploadId": id, "ChecksumAlgorithm": algorithm, "ChecksumType": kind,
        **told(how.encryption if how is not None else None, context=True),
    })  # fmt: skip


@operation("s3:UploadPart", mutating=False, objects=True)
def upload_part(call: Call, world: World, params: Params) -> Outcome:
    """ApiError NoSuchUpload, InvalidArgument, EntityTooLarge."""
    only(params, "Key", "UploadId", "PartNumber", "Body", "ContentLength", *CHECKSUMS.values())
    bucket, key, body = bucket_of(call, world, params), key_of(params), bytes(params.get("Body") or b"")
    upload = upload_of(call, bucket, key, params["UploadId"])
    part = put_part(call, world, upload, params["PartNumber"], body)
    given = {member: params[member] for member in CHECKSUMS.values() if params.get(member)}
    return Outcome({"ETag": quoted(part.etag), **given, **_told(upload)})


def _told(upload: Upload) -> dict[str, Any]:
    return told(upload.sealing.encryption if upload.sealing is not None else None)


def put_part(call: Call, world: World, upload: Upload, number: int, body: bytes) -> Part:
    """ApiError InvalidArgument, EntityTooLarge."""
    if not 1 <= number <= MAX_PARTS:
        raise fault("InvalidArgument", message="Part number must be an integer between 1 and 10000, inclusive")
    uploads = files_of(call).uploads
    others = sum(part.size for part in parts_of(call, upload) if part.number != number)
    check_size(call, others + len(body))
    return uploads.put(upload.id, number, body, opened_sealing(call, world, upload))


def opened_sealing(call: Call, world: World, upload: Upload) -> Sealing | None:
    """How the upload is sealed, with its data key. ApiError AccessDenied and `KMS.…` for who may not use the key (AWS: every part
    needs kms:Decrypt)."""
    if upload.sealing is None or not upload.sealing.envelope:
        return upload.sealing
    bucket = bucket_of(call, world, {"Bucket": upload.bucket})
    secret = secret_of(call, world, bucket)(upload.sealing.encryption, upload.sealing.envelope)
    return replace(upload.sealing, secret=secret)


def parts_of(call: Call, upload: Upload) -> list[Part]:
    """ApiError InternalError when one of them is damaged."""
    try:
        return files_of(call).uploads.parts(upload.id)
    except Damaged as problem:
        raise damaged(upload.bucket, upload.key, problem) from None


@operation("s3:CompleteMultipartUpload", mutating=False, objects=True)
def complete_multipart_upload(call: Call, world: World, params: Params) -> Outcome:
    """The object is the parts named, in their order. ApiError InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest, …"""
    only(params, "Key", "UploadId", "MultipartUpload", "MpuObjectSize", "ChecksumType", "IfMatch", "IfNoneMatch",
         *CHECKSUMS.values())  # fmt: skip
    bucket, key, files = bucket_of(call, world, params), key_of(params), files_of(call)
    upload = upload_of(call, bucket, key, params["UploadId"])
    parts = _chosen((params.get("MultipartUpload") or {}).get("Parts") or [], parts_of(call, upload))
    how = opened_sealing(call, world, upload)
    bodies = _bodies(call, upload, parts, how)
    body = b"".join(bodies)
    check_size(call, len(body))
    if params.get("MpuObjectSize") not in (None, len(body)):
        raise fault("InvalidRequest", message="The object's size is not that of MpuObjectSize")
    _check_parts(params, bodies)
    _check_whole(params, bodies, body)
    md5 = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False).hexdigest()
    about: dict[str, Any] = {name: value for name, value in upload.about.items() if name != "algorithm"}
    try:
        check_before_writing(params, files.find(bucket.id, key))
        made = files.put(bucket.id, key, body, etag=f"{md5}-{len(parts)}", sealing=how, **about)
    except ValueError as problem:
        raise unusable(problem) from None
    files.uploads.forget(upload.id)
    return Outcome({
        "Location": f"/{bucket.id}/{key}", "Bucket": bucket.id, "Key": key, "ETag": quoted(made.etag), **_told(upload)
    })  # fmt: skip


def _bodies(call: Call, upload: Upload, parts: list[Part], how: Sealing | None) -> list[bytes]:
    """ApiError InternalError when one of them is damaged."""
    secret = how.secret if how is not None else b""
    try:
        return [files_of(call).uploads.read(upload.id, part, lambda _how, _envelope: secret) for part in parts]
    except Damaged as problem:
        raise damaged(upload.bucket, upload.key, problem) from None


def _chosen(named: list[Params], held: list[Part]) -> list[Part]:
    """ApiError MalformedXML, InvalidPartOrder, InvalidPart, EntityTooSmall."""
    numbers = [item.get("PartNumber") or 0 for item in named]
    if not numbers:
        raise fault("MalformedXML")
    if numbers != sorted(set(numbers)):
        raise fault("InvalidPartOrder")
    by_number = {part.number: part for part in held}
    chosen = [by_number.get(number) for number in numbers]
    parts = [part for part in chosen if part is not None]
    if len(parts) != len(named) or any(
        (item.get("ETag") or "").strip('"') != part.etag for item, part in zip(named, parts, strict=True)
    ):
        raise fault("InvalidPart")
    if any(part.size < SMALLEST for part in parts[:-1]):
        raise fault("EntityTooSmall")
    return parts


def _check_parts(params: Params, bodies: list[bytes]) -> None:
    """The checksums given with the parts. ApiError InvalidPart."""
    for item, body in zip(params["MultipartUpload"]["Parts"], bodies, strict=True):
        for name, member in CHECKSUMS.items():
            if item.get(member) and item[member] != _text(ALGORITHMS[name](body)):
                raise fault("InvalidPart")


def _check_whole(params: Params, bodies: list[bytes], body: bytes) -> None:
    """That of the object: over its bytes, or over its parts' checksums (`…-3`). ApiError BadDigest."""
    for name, member in CHECKSUMS.items():
        given = params.get(member)
        if not given:
            continue
        make = ALGORITHMS[name]
        composite = f"{_text(make(b''.join(make(part) for part in bodies)))}-{len(bodies)}"
        if given not in (_text(make(body)), composite):
            raise fault("BadDigest", what=name.upper())


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@operation("s3:AbortMultipartUpload", mutating=False, objects=True)
def abort_multipart_upload(call: Call, world: World, params: Params) -> Outcome:
    only(params, "Key", "UploadId")
    bucket, key = bucket_of(call, world, params), key_of(params)
    files_of(call).uploads.forget(upload_of(call, bucket, key, params["UploadId"]).id)
    return Outcome({})


@operation("s3:ListParts")
def list_parts(call: Call, world: World, params: Params) -> Outcome:
    only(params, "Key", "UploadId", "MaxParts", "PartNumberMarker")
    bucket, key = bucket_of(call, world, params), key_of(params)
    upload = upload_of(call, bucket, key, params["UploadId"])
    marker, size = _number(params.get("PartNumberMarker")), min(params.get("MaxParts") or PAGE, PAGE)
    left = [part for part in parts_of(call, upload) if part.number > marker]
    more, whose = len(left) > size, owner(bucket.owner_id)
    return Outcome({
        "Bucket": bucket.id, "Key": key, "UploadId": upload.id, "PartNumberMarker": marker, "MaxParts": size,
        "IsTruncated": more, "NextPartNumberMarker": left[size - 1].number if more else None,
        "Parts": [
            {"PartNumber": part.number, "LastModified": moment(part.modified), "ETag": quoted(part.etag), "Size": part.size}
            for part in left[:size]
        ],
        "Initiator": whose, "Owner": whose, "StorageClass": "STANDARD",
    })  # fmt: skip


def _number(marker: Any) -> int:
    text = str(marker or 0)
    if not text.isdecimal() or len(text) > 6:
        raise fault("InvalidArgument", message="part-number-marker must be a number")
    return int(text)


@operation("s3:ListMultipartUploads")
def list_multipart_uploads(call: Call, world: World, params: Params) -> Outcome:
    """In order of their keys. Delimiters are not served."""
    only(params, "Prefix", "KeyMarker", "UploadIdMarker", "MaxUploads")
    bucket, prefix = bucket_of(call, world, params), params.get("Prefix") or ""
    marker, size = (params.get("KeyMarker") or "", params.get("UploadIdMarker") or ""), params.get("MaxUploads") or PAGE
    found = sorted(
        (one for one in files_of(call).uploads.all(bucket.id) if one.key.startswith(prefix)),
        key=lambda one: (one.key, one.id),
    )
    left = [one for one in found if ((one.key, one.id) > marker if marker[1] else one.key > marker[0])]
    shown, whose = left[: min(size, PAGE)], owner(bucket.owner_id)
    more = len(shown) < len(left)
    return Outcome({
        "Bucket": bucket.id, "KeyMarker": marker[0], "UploadIdMarker": marker[1], "Prefix": prefix, "MaxUploads": min(size, PAGE),
        "IsTruncated": more, "NextKeyMarker": shown[-1].key if more and shown else None,
        "NextUploadIdMarker": shown[-1].id if more and shown else None,
        "Uploads": [
            {"Key": one.key, "UploadId": one.id, "Initiated": moment(one.began), "StorageClass": "STANDARD", "Owner": whose,
             "Initiator": whose} for one in shown
        ],
    })  # fmt: skip
