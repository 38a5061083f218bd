"""Buckets and their policies (Amazon S3 API Reference: CreateBucket, ListBuckets, HeadBucket, PutBucketPolicy …)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.ops.s3.common import bucket_of, check_acl, files_of, moment, only, owner
from ringfence.identity import document
from ringfence.identity.document import DocumentKind
from ringfence.model.errors import fault
from ringfence.model.kinds import BUCKET
from ringfence.model.nouns.trail import Bucket
from ringfence.model.regions import REGIONS
from ringfence.model.world import World, delete, put

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?![.-])|-(?!\.)){1,61}[a-z0-9]")
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", "-an")
POLICY_BYTES = 20 * 1024
HOME = "us-east-1"


def checked_name(name: str) -> str:
    """User Guide, "General purpose bucket naming rules". ApiError InvalidBucketName."""
    if not _NAME.fullmatch(name) or ".." in name or ".-" in name or "-." in name or _is_address(name):
        raise fault("InvalidBucketName")
    if name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
        raise fault("InvalidBucketName")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


@operation("s3:CreateBucket")
def create_bucket(call: Call, world: World, params: Params) -> Outcome:
    """A bucket in the Region of its location constraint. ApiError BucketAlreadyExists, BucketAlreadyOwnedByYou, …"""
    only(params, "ACL", "CreateBucketConfiguration")
    check_acl(params, "private")
    about = params.get("CreateBucketConfiguration") or {}
    only(about, "LocationConstraint")
    name, region = checked_name(params["Bucket"]), _region(call, about.get("LocationConstraint"))
    held = world.find(BUCKET, name)
    reply = {"Location": f"/{name}", "BucketArn": BUCKET.arn(held)} if held else {"Location": f"/{name}"}
    if held is not None and held.owner_id != call.account_id:
        raise fault("BucketAlreadyExists")
    if held is not None:
        if held.region == region == HOME:  # AWS: in this Region making it again is no fault
            return Outcome(reply)
        raise fault("BucketAlreadyOwnedByYou")
    call.check_quota("s3-buckets", len(world.by(BUCKET, "account", call.account_id)) + 1)
    made = Bucket(id=name, owner_id=call.account_id, region=region, created=call.now.timestamp())
    return Outcome({"Location": f"/{name}", "BucketArn": BUCKET.arn(made)}, put(BUCKET, made))


def _region(call: Call, wanted: str | None) -> str:
    if wanted is None:
        if call.region != HOME:
            text = "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to."
            raise fault("IllegalLocationConstraintException", message=text)
        return HOME
    region = "eu-west-1" if wanted == "EU" else wanted
    if region not in REGIONS or region == HOME:
        raise fault("InvalidLocationConstraint")
    if call.region not in (HOME, region):
        text = f"The {region} location constraint is incompatible for the region specific endpoint this request was sent to."
        raise fault("IllegalLocationConstraintException", message=text)
    return region


@operation("s3:DeleteBucket")
def delete_bucket(call: Call, world: World, params: Params) -> Outcome:
    """An empty bucket; its unfinished uploads go with it. ApiError NoSuchBucket, BucketNotEmpty."""
    bucket, files = bucket_of(call, world, params), files_of(call)
    if files.size(bucket.id):
        raise fault("BucketNotEmpty")
    for upload in files.uploads.all(bucket.id):
        files.uploads.forget(upload.id)
    return Outcome({}, delete(BUCKET, bucket.id))


@operation("s3:HeadBucket", mutating=False)
def head_bucket(call: Call, world: World, params: Params) -> Outcome:
    bucket = bucket_of(call, world, params)
    return Outcome({"BucketRegion": bucket.region, "BucketArn": BUCKET.arn(bucket), "AccessPointAlias": False})


@operation("s3:GetBucketLocation")
def get_bucket_location(call: Call, world: World, params: Params) -> Outcome:
    """AWS: the first Region has no name."""
    region = bucket_of(call, world, params).region
    return Outcome({"LocationConstraint": None if region == HOME else region})


@operation("s3:ListBuckets")
def list_buckets(call: Call, world: World, params: Params) -> Outcome:
    """The caller's account's, by name, in pages when asked for. ApiError InvalidArgument."""
    size, prefix, region = params.get("MaxBuckets"), params.get("Prefix") or "", params.get("BucketRegion")
    if size is not None and not 1 <= size <= 10_000:
        raise fault("InvalidArgument", message="max-buckets must be between 1 and 10000")
    after = _after(params.get("ContinuationToken"))
    found = sorted(world.by(BUCKET, "account", call.account_id), key=lambda bucket: bucket.id)
    found = [one for one in found if one.id > after and one.id.startswith(prefix) and region in (None, one.region)]
    shown = found[:size] if size is not None else found
    token = base64.urlsafe_b64encode(shown[-1].id.encode()).decode() if len(shown) < len(found) else None
    return Outcome({
        "Buckets": [_view(bucket) for bucket in shown], "Owner": owner(call.account_id), "ContinuationToken": token,
        "Prefix": prefix or None,
    })  # fmt: skip


def _after(token: str | None) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode() if token else ""
    except (binascii.Error, ValueError):
        raise fault("InvalidArgument", message="The continuation token provided is incorrect") from None


def _view(bucket: Bucket) -> dict[str, Any]:
    return {
        "Name": bucket.id, "CreationDate": moment(bucket.created), "BucketRegion": bucket.region,
        "BucketArn": BUCKET.arn(bucket),
    }  # fmt: skip


# ---------------------------------------------------------------------- policies
@operation("s3:PutBucketPolicy")
def put_bucket_policy(call: Call, world: World, params: Params) -> Outcome:
    """ApiError MalformedPolicy, NoSuchBucket."""
    only(params, "Policy")
    bucket, text = bucket_of(call, world, params), params["Policy"]
    if len(text.encode()) > POLICY_BYTES:
        raise fault("MalformedPolicy", message="Policy exceeds the maximum allowed document size.")
    document.malformed(text, DocumentKind.RESOURCE, "MalformedPolicy")
    _check_reach(bucket, text)
    return Outcome({}, put(BUCKET, replace(bucket, policy=text)))


def _check_reach(bucket: Bucket, text: str) -> None:
    """AWS: a bucket's policy speaks of S3 and of this bucket alone. ApiError MalformedPolicy."""
    statements = json.loads(text)["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        for action in _listed(statement, "Action", "NotAction"):
            if action != "*" and not action.lower().startswith("s3:"):
                raise fault("MalformedPolicy", message="Policy has invalid action")
        if "NotResource" in statement or "Resource" not in statement:
            continue
        for resource in _listed(statement, "Resource"):
            name, slash, _ = resource.removeprefix("arn:aws:s3:::").partition("/")
            pattern = re.escape(name).replace(r"\*", ".*").replace(r"\?", ".")
            if not re.fullmatch(pattern, bucket.id) and not (not slash and re.match(pattern, f"{bucket.id}/")):
                raise fault("MalformedPolicy", message="Policy has invalid resource")


def _listed(statement: dict[str, Any], *names: str) -> list[str]:
    found: list[str] = []
    for name in names:
        value = statement.get(name, [])
        found += [value] if isinstance(value, str) else value
    return found


@operation("s3:GetBucketPolicy")
def get_bucket_policy(call: Call, world: World, params: Params) -> Outcome:
    """As it was written. ApiError NoSuchBucketPolicy."""
    bucket = bucket_of(call, world, params)
    if bucket.policy is None:
        raise fault("NoSuchBucketPolicy")
    return Outcome({"Policy": bucket.policy})


@operation("s3:DeleteBucketPolicy")
def delete_bucket_policy(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({}, put(BUCKET, replace(bucket_of(call, world, params), policy=None)))
