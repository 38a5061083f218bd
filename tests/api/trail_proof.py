"""A verifier of CloudTrail's log files over boto3, by the rules anyone can follow (CloudTrail User Guide: "Custom implementations of
CloudTrail log file integrity validation"). It knows nothing of this product but its AWS APIs.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key


@dataclass
class Verdict:
    """What was looked at, and what is wrong with it."""

    digests: int = 0
    files: int = 0
    faults: list[str] = field(default_factory=list)


def verify(cloudtrail: Any, s3: Any, trail_arn: str, start: datetime, end: datetime) -> Verdict:
    """Follow the chain of digests from the newest one back."""
    trail = cloudtrail.describe_trails(trailNameList=[trail_arn])["trailList"][0]
    keys = {
        key["Fingerprint"]: load_der_public_key(key["Value"])
        for key in cloudtrail.list_public_keys(StartTime=start, EndTime=end)["PublicKeyList"]
    }
    region, account, name = trail["HomeRegion"], trail_arn.split(":")[4], trail["Name"]
    folder = "/".join(filter(None, (trail.get("S3KeyPrefix"), "AWSLogs", account, "CloudTrail-Digest", region, "")))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=trail["S3BucketName"], Prefix=folder)
    found = [item["Key"] for page in pages for item in page.get("Contents", ()) if f"_{name}_" in item["Key"]]
    verdict, place, expected = Verdict(), (trail["S3BucketName"], found[-1]) if found else None, None
    while place is not None:
        place, expected = _digest(s3, keys, place, expected, verdict)
    return verdict


def _digest(s3: Any, keys: Any, place: tuple[str, str], expected: Any, verdict: Verdict) -> tuple[Any, Any]:
    bucket, key = place
    try:
        got = s3.get_object(Bucket=bucket, Key=key)
        body = gzip.decompress(got["Body"].read())
        document = json.loads(body)
    except (ClientError, OSError, ValueError) as problem:
        verdict.faults.append(f"{key}: {problem}")
        return None, None
    verdict.digests += 1
    digest, signature = hashlib.sha256(body).hexdigest(), got["Metadata"].get("signature", "")
    if expected is not None and expected != (digest, signature):
        verdict.faults.append(f"{key}: not what the digest after it says")
    before = document["previousDigestSignature"]
    text = f"{document['digestEndTime']}\n{bucket}/{key}\n{digest}\n{before or 'null'}"
    try:
        keys[document["digestPublicKeyFingerprint"]].verify(
            bytes.fromhex(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, KeyError, ValueError) as problem:
        verdict.faults.append(f"{key}: signature {problem!r}")
    if (document["digestS3Bucket"], document["digestS3Object"]) != (bucket, key):
        verdict.faults.append(f"{key}: it was somewhere else")
    for file in document["logFiles"]:
        _log_file(s3, file, verdict)
    if document["previousDigestS3Object"] is None:
        return None, None
    following = (document["previousDigestS3Bucket"], document["previousDigestS3Object"])
    return following, (document["previousDigestHashValue"], before)


def _log_file(s3: Any, file: dict[str, Any], verdict: Verdict) -> None:
    try:
        body = gzip.decompress(s3.get_object(Bucket=file["s3Bucket"], Key=file["s3Object"])["Body"].read())
    except (ClientError, OSError) as problem:
        verdict.faults.append(f"{file['s3Object']}: {problem}")
        return
    verdict.files += 1
    if hashlib.sha256(body).hexdigest() != file["hashValue"]:
        verdict.faults.append(f"{file['s3Object']}: changed")
