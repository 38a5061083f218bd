"""Copies (Amazon S3 API Reference: CopyObject, UploadPartCopy)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

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
from ringfence.api.ops.s3.encryption import ASKED, body_of, sealing, told
from ringfence.api.ops.s3.objects import STORED, check_size, found_object, stored_with
from ringfence.api.ops.s3.uploads import put_part, upload_of
from ringfence.model.errors import fault
from ringfence.model.nouns.trail import Bucket
from ringfence.model.world import World
from ringfence.store.buckets import Object

_CONDITIONS = tuple(f"CopySource{name}" for name in ("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"))


def source_of(text: str) -> tuple[str, str]:
    """Bucket and key of `x-amz-copy-source`. ApiError InvalidArgument; NotImplemented for a version."""
    path, mark, query = text.partition("?")
    if mark and query not in ("versionId=null", "versionId="):
        raise fault("NotImplemented", message="Versions are not implemented by this installation")
    try:
        bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError:
        raise fault("InvalidArgument", message="Copy Source must be URL-encoded UTF-8") from None
    if not bucket or not key or bucket.startswith("arn:"):
        text = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise fault("InvalidArgument", message=text)
    return bucket, key


def _source(call: Call, world: World, params: Params) -> tuple[Bucket, Object]:
    name, key = source_of(params["CopySource"])
    bucket = bucket_of(call, world, {"Bucket": name, "ExpectedBucketOwner": params.get("ExpectedSourceBucketOwner")})
    found = found_object(call, world, bucket, key)
    check_conditions(params, found, "CopySource", reading=False)
    return bucket, found


@operation("s3:CopyObject", mutating=False, objects=True)
def copy_object(call: Call, world: World, params: Params) -> Outcome:
    """With what the source is stored with, or (`REPLACE`) with what the request says. ApiError."""
    only(params, "Key", "CopySource", "ACL", "MetadataDirective", "ExpectedSourceBucketOwner", "IfMatch", "IfNoneMatch",
         *_CONDITIONS, *STORED, *ASKED)  # fmt: skip
    check_acl(params, "bucket-owner-full-control")
    bucket, key, files = bucket_of(call, world, params), key_of(params), files_of(call)
    holder, found = _source(call, world, params)
    replaced = params.get("MetadataDirective") == "REPLACE"
    if (holder.id, found.key) == (bucket.id, key) and not replaced and not params.get("ServerSideEncryption"):
        text = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes."
        )
        raise fault("InvalidRequest", message=text)
    about: dict[str, Any] = {"content_type": found.content_type, "metadata": found.metadata, "headers": found.headers}
    if replaced:
        about = stored_with(params)
    check_size(call, found.size)
    how = sealing(call, world, bucket, key, params)
    try:
        check_before_writing(params, files.find(bucket.id, key))
        made = files.put(bucket.id, key, body_of(call, world, holder, found, 0, found.size), sealing=how, **about)
    except ValueError as problem:
        raise unusable(problem) from None
    result = {"ETag": quoted(made.etag), "LastModified": moment(made.modified)}
    return Outcome({"CopyObjectResult": result, **told(made.encryption, context=True)})


@operation("s3:UploadPartCopy", mutating=False, objects=True)
def upload_part_copy(call: Call, world: World, params: Params) -> Outcome:
    """A part that is (a range of) an object. ApiError InvalidArgument for a range that is none."""
    only(
        params,
        "Key",
        "CopySource",
        "CopySourceRange",
        "PartNumber",
        "UploadId",
        "ExpectedSourceBucketOwner",
        *_CONDITIONS,
    )
    bucket, key = bucket_of(call, world, params), key_of(params)
    holder, found = _source(call, world, params)
    start, end = 0, found.size
    if params.get("CopySourceRange"):
        part = span(params["CopySourceRange"], found.size)
        if part is None:
            raise fault(
                "InvalidArgument", message="The x-amz-copy-source-range value must be of the form bytes=first-last"
            )
        start, end = part
    upload = upload_of(call, bucket, key, params["UploadId"])
    made = put_part(call, world, upload, params["PartNumber"], body_of(call, world, holder, found, start, end))
    result = {"ETag": quoted(made.etag), "LastModified": moment(made.modified)}
    return Outcome({"CopyPartResult": result, **told(upload.sealing.encryption if upload.sealing else None)})
