"""Amazon S3 below the server: buckets, objects, listings, uploads in parts, over boto3 (client-surface section 6; issue: log buckets)."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.api.ops.s3.listing import page
from ringfence.model.kinds import BUCKET
from ringfence.model.quotas import Limits
from ringfence.store.buckets import BucketFiles
from tests.api.front import KEY, OTHER_KEY, SECRET, URL, Answer, Front, http_request, signed


class Lab:
    """A front with buckets on disk; `logs` is there."""

    def __init__(self, folder: Path) -> None:
        self.files = BucketFiles(folder / "buckets")
        self.front = Front(objects=self.files)
        self.s3 = self.front.client("s3")
        self.s3.create_bucket(Bucket="logs")

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket="logs", Key=key, Body=key.encode())

    def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """A request signed by botocore, of headers with dashes for underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        digest = {"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest(), "Content-Type": "application/octet-stream"}
        request = AWSRequest(method=method, url=f"{URL}{path}", data=body, headers=digest | named)
        botocore.auth.S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(request)
        headers = request.headers.items()
        return Answer(self.front.pipeline.handle(http_request(method, f"{URL}{path}", headers, body)))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def refused(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


# ---------------------------------------------------------------------- buckets
@pytest.mark.parametrize(
    ("name", "good"),
    [("abc", True), ("a-b.c1", True), ("a" * 63, True), ("my.bucket", True), ("ab", False), ("a" * 64, False), ("Abc", False),
     ("a_b", False), ("-ab", False), ("ab-", False), ("a..b", False), ("a.-b", False), ("a-.b", False), ("192.168.5.4", False),
     ("xn--abc", False), ("abc-s3alias", False), ("..", False), (".objects", False), ("a%2Fb", False)],
)  # fmt: skip
def test_names_of_buckets(lab: Lab, name: str, good: bool) -> None:
    answer = lab.raw("PUT", f"/{name}")
    assert answer.status == (200 if good else 400)
    if not good:
        assert answer.code == "InvalidBucketName"
        assert lab.front.store.world.find(BUCKET, name) is None


def test_the_life_of_a_bucket(lab: Lab) -> None:
    other = lab.front.client("s3", key=OTHER_KEY)
    west = lab.front.client("s3", region="eu-west-1")
    assert refused(other.create_bucket, Bucket="logs") == "BucketAlreadyExists"
    lab.s3.create_bucket(Bucket="logs")  # AWS: no fault in us-east-1
    assert refused(west.create_bucket, Bucket="west") == "IllegalLocationConstraintException"
    place = {"LocationConstraint": "eu-west-1"}
    west.create_bucket(Bucket="west", CreateBucketConfiguration=place)
    assert refused(west.create_bucket, Bucket="west", CreateBucketConfiguration=place) == "BucketAlreadyOwnedByYou"
    elsewhere = {"LocationConstraint": "nowhere-1"}
    lab.front.strict_clients = False
    assert refused(lab.s3.create_bucket, Bucket="north", CreateBucketConfiguration=elsewhere) in (
        "MalformedXML",
        "InvalidLocationConstraint",
    )
    assert lab.s3.get_bucket_location(Bucket="west")["LocationConstraint"] == "eu-west-1"
    assert lab.s3.get_bucket_location(Bucket="logs")["LocationConstraint"] is None
    assert lab.s3.head_bucket(Bucket="west")["BucketRegion"] == "eu-west-1"
    assert [bucket["Name"] for bucket in lab.s3.list_buckets()["Buckets"]] == ["logs", "west"]
    first = lab.s3.list_buckets(MaxBuckets=1)
    assert [bucket["Name"] for bucket in first["Buckets"]] == ["logs"]
    assert [b["Name"] for b in lab.s3.list_buckets(ContinuationToken=first["ContinuationToken"])["Buckets"]] == ["west"]
    assert other.list_buckets()["Buckets"] == []
    lab.put("a/b")
    assert refused(lab.s3.delete_bucket, Bucket="logs") == "BucketNotEmpty"
    lab.s3.delete_object(Bucket="logs", Key="a/b")
    upload = lab.s3.create_multipart_upload(Bucket="logs", Key="part")["UploadId"]
    lab.s3.delete_bucket(Bucket="logs")
    assert refused(lab.s3.head_bucket, Bucket="logs") == "404"
    assert refused(lab.s3.delete_bucket, Bucket="logs") == "NoSuchBucket"
    assert lab.files.uploads.find(upload) is None
    lab.front.pipeline.limits = Limits({"s3-buckets": 1})
    assert refused(lab.s3.create_bucket, Bucket="one-more") == "TooManyBuckets"


@pytest.mark.parametrize(
    ("call", "code"),
    [("get_bucket_policy", "NoSuchBucketPolicy"), ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
     ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"), ("get_bucket_tagging", "NoSuchTagSet"),
     ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"), ("get_bucket_cors", "NoSuchCORSConfiguration"),
     ("get_bucket_website", "NoSuchWebsiteConfiguration"), ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
     ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"), ("list_object_versions", "NotImplemented")],
)  # fmt: skip
def test_what_is_not_configured_says_so(lab: Lab, call: str, code: str) -> None:
    assert refused(getattr(lab.s3, call), Bucket="logs") == code
    if code != "NotImplemented":
        assert refused(getattr(lab.s3, call), Bucket="nothere") == "NoSuchBucket"


def test_what_is_so(lab: Lab) -> None:
    assert "Status" not in lab.s3.get_bucket_versioning(Bucket="logs")
    assert "LoggingEnabled" not in lab.s3.get_bucket_logging(Bucket="logs")
    rules = lab.s3.get_bucket_ownership_controls(Bucket="logs")["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    acl = lab.s3.get_bucket_acl(Bucket="logs")
    assert acl["Grants"] == [{"Grantee": {"Type": "CanonicalUser", **acl["Owner"]}, "Permission": "FULL_CONTROL"}]


# ---------------------------------------------------------------------- objects
KEYS = ["plain", "a/b/c.gz", "ü ñ/日本 🚀", "a+b c%41&=?#", "..", "../../etc/passwd", "//", "/lead", "trail/", "a/./b", ".ringfence-x",
        "per%25cent", "quote\"'<>&", "~tilde", "back\\slash"]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_an_object_there_and_back(lab: Lab, tmp_path: Path, key: str) -> None:
    body = f"body of {key}".encode()
    made = lab.s3.put_object(
        Bucket="logs", Key=key, Body=body, ContentType="text/plain", Metadata={"who": "me"}, CacheControl="no-cache",
        ContentEncoding="gzip",
    )  # fmt: skip
    assert made["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = lab.s3.get_object(Bucket="logs", Key=key)
    assert got["Body"].read() == body
    head = lab.s3.head_object(Bucket="logs", Key=key)
    for reply in (got, head):
        assert (reply["ContentType"], reply["Metadata"], reply["ContentLength"]) == (
            "text/plain",
            {"who": "me"},
            len(body),
        )
        assert (reply["ETag"], reply["CacheControl"], reply["ContentEncoding"]) == (made["ETag"], "no-cache", "gzip")
    assert [item["Key"] for item in lab.s3.list_objects_v2(Bucket="logs")["Contents"]] == [key]
    assert [item["Key"] for item in lab.s3.list_objects(Bucket="logs")["Contents"]] == [key]
    inside = (tmp_path / "buckets").resolve()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and inside not in path.resolve().parents] == []
    lab.s3.delete_object(Bucket="logs", Key=key)
    assert refused(lab.s3.get_object, Bucket="logs", Key=key) == "NoSuchKey"
    lab.s3.delete_bucket(Bucket="logs")


@pytest.mark.parametrize(
    ("key", "code"), [("k" * 1025, "KeyTooLongError"), ("k" * 201, "InvalidArgument"), ("a/b/c", "InvalidArgument")]
)
def test_a_key_that_cannot_be_kept(lab: Lab, key: str, code: str) -> None:
    lab.put("a/b")
    assert refused(lab.s3.put_object, Bucket="logs", Key=key, Body=b"x") == code
    assert list(lab.files.keys("logs")) == ["a/b"]


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [("bytes=0-3", 206, b"0123"), ("bytes=4-", 206, b"456789"), ("bytes=-3", 206, b"789"), ("bytes=8-99", 206, b"89"),
     ("bytes=9-9", 206, b"9"), ("bytes=-99", 206, b"0123456789"), ("bytes=10-", 416, b""), ("bytes=-0", 416, b""),
     ("bytes=3-1", 200, b"0123456789"), ("bytes=0-1,3-4", 200, b"0123456789"), ("lines=1-2", 200, b"0123456789"),
     ("bytes=-", 200, b"0123456789")],
)  # fmt: skip
def test_ranges(lab: Lab, asked: str, status: int, body: bytes) -> None:
    lab.s3.put_object(Bucket="logs", Key="k", Body=b"0123456789")
    if status == 416:
        assert refused(lab.s3.get_object, Bucket="logs", Key="k", Range=asked) == "InvalidRange"
        return
    got = lab.s3.get_object(Bucket="logs", Key="k", Range=asked)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (status, body)
    assert lab.s3.head_object(Bucket="logs", Key="k", Range=asked)["ContentLength"] == len(body)
    assert ("ContentRange" in got) == (status == 206)


def test_conditions_of_reading(lab: Lab) -> None:
    etag = lab.s3.put_object(Bucket="logs", Key="k", Body=b"x")["ETag"]
    at = lab.s3.head_object(Bucket="logs", Key="k")["LastModified"]
    before = at.replace(year=at.year - 1)
    for good in ({"IfMatch": etag}, {"IfMatch": "*"}, {"IfNoneMatch": '"other"'}, {"IfModifiedSince": before},
                 {"IfUnmodifiedSince": at}, {"IfMatch": etag, "IfUnmodifiedSince": before},
                 {"IfNoneMatch": '"other"', "IfModifiedSince": at}):  # fmt: skip
        assert lab.s3.get_object(Bucket="logs", Key="k", **good)["Body"].read() == b"x"
    for params, code in (({"IfMatch": '"other"'}, "PreconditionFailed"), ({"IfNoneMatch": etag}, "304"),
                         ({"IfNoneMatch": "*"}, "304"), ({"IfModifiedSince": at}, "304"),
                         ({"IfUnmodifiedSince": before}, "PreconditionFailed")):  # fmt: skip
        assert refused(lab.s3.get_object, Bucket="logs", Key="k", **params) == code


def test_conditions_of_writing(lab: Lab) -> None:
    assert refused(lab.s3.put_object, Bucket="logs", Key="k", Body=b"x", IfMatch='"e"') == "NoSuchKey"
    etag = lab.s3.put_object(Bucket="logs", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(lab.s3.put_object, Bucket="logs", Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    assert refused(lab.s3.put_object, Bucket="logs", Key="k", Body=b"2", IfMatch='"e"') == "PreconditionFailed"
    assert refused(lab.s3.delete_object, Bucket="logs", Key="k", IfMatch='"e"') == "PreconditionFailed"
    assert lab.s3.get_object(Bucket="logs", Key="k")["Body"].read() == b"1"
    lab.s3.put_object(Bucket="logs", Key="k", Body=b"2", IfMatch=etag)
    assert lab.s3.get_object(Bucket="logs", Key="k")["Body"].read() == b"2"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_verified_and_given_back(lab: Lab, algorithm: str) -> None:
    lab.s3.put_object(Bucket="logs", Key="k", Body=b"body", ChecksumAlgorithm=algorithm)
    got = lab.s3.get_object(Bucket="logs", Key="k", ChecksumMode="ENABLED")  # botocore verifies it
    assert got["Body"].read() == b"body"
    assert got[f"Checksum{algorithm}"]
    wrong = lab.raw("PUT", "/logs/k", b"other", **{f"x_amz_checksum_{algorithm.lower()}": got[f"Checksum{algorithm}"]})
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    assert lab.files.read("logs", "k") == b"body"


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"content_md5": base64.b64encode(b"0" * 16).decode()}, "BadDigest"), ({"content_md5": "***"}, "InvalidDigest"),
     ({"x_amz_checksum_crc32": base64.b64encode(zlib.crc32(b"xy").to_bytes(4, "big")).decode()}, "BadDigest"),
     ({"x_amz_checksum_xxhash": "AAAA"}, "InvalidRequest"), ({"x_amz_acl": "public-read"}, "AccessControlListNotSupported"),
     ({"x_amz_server_side_encryption": "aws:kms"}, "NotImplemented"), ({"x_amz_tagging": "a=b"}, "NotImplemented"),
     ({"x_amz_storage_class": "GLACIER"}, "NotImplemented"), ({"x_amz_object_lock_mode": "GOVERNANCE"}, "NotImplemented"),
     ({"x_amz_expected_bucket_owner": "999999999999"}, "AccessDenied")],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_not_ignored(lab: Lab, headers: dict[str, str], code: str) -> None:
    assert lab.raw("PUT", "/logs/k", b"body", **headers).code == code
    assert list(lab.files.keys("logs")) == []
    assert lab.front.audit()[-1]["errorCode"] == code


def test_an_object_has_a_largest_size(lab: Lab) -> None:
    lab.front.pipeline.limits = Limits({"s3-object-bytes": 2 << 20})
    lab.s3.put_object(Bucket="logs", Key="k", Body=b"x" * (2 << 20))
    assert refused(lab.s3.put_object, Bucket="logs", Key="l", Body=b"x" * ((2 << 20) + 1)) == "EntityTooLarge"
    policy = lab.raw("PUT", "/logs?policy", b"x" * ((1 << 20) + 1))
    assert (policy.status, policy.code) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("DELETE", "/logs?acl", 405, "MethodNotAllowed"), ("POST", "/logs", 405, "MethodNotAllowed"),
     ("PATCH", "/logs/k", 405, "MethodNotAllowed"),
     ("PUT", "/", 405, "MethodNotAllowed"), ("GET", "/logs/k?acl", 501, "NotImplemented"),
     ("DELETE", "/logs/k?uploads", 405, "MethodNotAllowed"),
     ("GET", "/logs?list-type=2&max-keys=x", 400, "InvalidArgument"), ("GET", "/logs?list-type=2&max-keys=-1", 400, "InvalidArgument"),
     ("GET", "/logs?list-type=2&continuation-token=%21", 400, "InvalidArgument"), ("GET", "/logs/%FF", 400, "InvalidURI"),
     ("PUT", "/logs?versioning", 501, "NotImplemented"), ("GET", "/logs/k?versionId=abc", 501, "NotImplemented")],
)  # fmt: skip
def test_what_is_no_operation(lab: Lab, method: str, path: str, status: int, code: str) -> None:
    """A sub-resource never turns into the operation without it: `DELETE /logs?acl` deletes no bucket."""
    answer = lab.raw(method, path)
    assert (answer.status, answer.code) == (status, code)
    assert lab.front.store.world.find(BUCKET, "logs") is not None


@pytest.mark.parametrize(
    "body",
    [b"", b"<", b"<Delete>", b"<Delete><Nothing/></Delete>", b"<Delete><Object></Object></Delete>", b"<Delete/>", b"\xff\xfe",
     b'<!DOCTYPE d [<!ENTITY e "x">]><Delete><Object><Key>&e;</Key></Object></Delete>',
     b"<Delete><Object><Key>k<b/></Key></Object></Delete>", b"<Delete><Quiet>maybe</Quiet><Object><Key>k</Key></Object></Delete>",
     b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>"],
)  # fmt: skip
def test_a_wrong_document_deletes_nothing(lab: Lab, body: bytes) -> None:
    lab.put("k")
    answer = lab.raw("POST", "/logs?delete", body)
    assert answer.code in ("MalformedXML", "MissingRequestBodyError")
    assert list(lab.files.keys("logs")) == ["k"]
    assert lab.front.pipeline.internal_errors == 0


def test_many_are_deleted_each_for_itself(lab: Lab) -> None:
    lab.put("a", "b", "c/d")
    reply = lab.s3.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "a"}, {"Key": "c/d"}, {"Key": "none"}]})
    assert [item["Key"] for item in reply["Deleted"]] == ["a", "c/d", "none"]
    assert "Deleted" not in lab.s3.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    assert list(lab.files.keys("logs")) == []


def test_copies(lab: Lab) -> None:
    lab.s3.create_bucket(Bucket="two")
    lab.s3.put_object(Bucket="logs", Key="a b+ü", Body=b"x", Metadata={"m": "1"}, ContentType="text/plain")
    lab.s3.copy_object(Bucket="two", Key="k", CopySource={"Bucket": "logs", "Key": "a b+ü"})
    got = lab.s3.get_object(Bucket="two", Key="k")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"x", {"m": "1"}, "text/plain")
    lab.s3.copy_object(Bucket="two", Key="k", CopySource="two/k", MetadataDirective="REPLACE", Metadata={"m": "2"})
    assert lab.s3.head_object(Bucket="two", Key="k")["Metadata"] == {"m": "2"}
    assert refused(lab.s3.copy_object, Bucket="two", Key="k", CopySource="two/k") == "InvalidRequest"
    assert refused(lab.s3.copy_object, Bucket="two", Key="k", CopySource="two/none") == "NoSuchKey"
    assert refused(lab.s3.copy_object, Bucket="two", Key="k", CopySource="three/k") == "NoSuchBucket"
    assert (
        refused(lab.s3.copy_object, Bucket="two", Key="k", CopySource="logs/a b+ü", CopySourceIfMatch='"e"')
        == "PreconditionFailed"
    )


def test_object_calls_are_audited_and_never_in_the_world(lab: Lab) -> None:
    generation = lab.front.store.world.generation
    lab.put("k")
    lab.s3.get_object(Bucket="logs", Key="k")
    lab.s3.delete_object(Bucket="logs", Key="k")
    events = lab.front.audit()[-3:]
    assert [(event["eventName"], event["readOnly"]) for event in events] == [
        ("PutObject", False), ("GetObject", True), ("DeleteObject", False)
    ]  # fmt: skip
    assert events[0]["requestParameters"]["Body"] == "(1 bytes)"
    assert lab.front.store.world.generation == generation


# ---------------------------------------------------------------------- listings
def test_a_listing_in_pages(lab: Lab) -> None:
    lab.put("a/1", "a/2", "b", "c/x/1", "c/y", "d", "é")
    pages = list(lab.s3.get_paginator("list_objects_v2").paginate(Bucket="logs", PaginationConfig={"PageSize": 2}))
    assert [len(one["Contents"]) for one in pages] == [2, 2, 2, 1]
    assert [item["Key"] for one in pages for item in one["Contents"]] == ["a/1", "a/2", "b", "c/x/1", "c/y", "d", "é"]
    for name in ("list_objects_v2", "list_objects"):
        found = list(
            lab.s3.get_paginator(name).paginate(Bucket="logs", Delimiter="/", PaginationConfig={"PageSize": 2})
        )
        assert [item["Key"] for one in found for item in one.get("Contents", ())] == ["b", "d", "é"]
        assert [item["Prefix"] for one in found for item in one.get("CommonPrefixes", ())] == ["a/", "c/"]
    below = lab.s3.list_objects_v2(Bucket="logs", Prefix="c/", Delimiter="/")
    assert ([item["Key"] for item in below["Contents"]], below["CommonPrefixes"]) == (["c/y"], [{"Prefix": "c/x/"}])
    assert below["KeyCount"] == 2
    assert [item["Key"] for item in lab.s3.list_objects_v2(Bucket="logs", StartAfter="c/y")["Contents"]] == ["d", "é"]
    assert "Owner" in lab.s3.list_objects_v2(Bucket="logs", FetchOwner=True)["Contents"][0]
    none = lab.s3.list_objects_v2(Bucket="logs", MaxKeys=0)
    assert (none["IsTruncated"], none.get("Contents")) == (False, None)


NAMES = st.lists(st.text("ab/", min_size=1, max_size=6), unique=True, max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    keys=NAMES,
    delimiter=st.sampled_from(["", "/", "b", "a/"]),
    size=st.integers(1, 4),
    prefix=st.text("ab/", max_size=2),
)
def test_pages_together_are_the_whole_listing(keys: list[str], delimiter: str, size: int, prefix: str) -> None:
    """Each key is shown once, itself or by its common prefix, whatever the size of the pages."""
    held = sorted(key for key in keys if key.startswith(prefix))
    shown, rolled, after = list[str](), list[str](), ""
    for _ in range(30):
        one = page(held, prefix, delimiter, after, size)
        assert len(one.keys) + len(one.prefixes) <= size
        shown, rolled = shown + list(one.keys), rolled + list(one.prefixes)
        if one.last is None:
            break
        after = one.last
    rest = {key: key[len(prefix) :].find(delimiter) if delimiter else -1 for key in held}
    assert shown == [key for key in held if rest[key] < 0]
    assert rolled == sorted({key[: len(prefix) + rest[key] + len(delimiter)] for key in held if rest[key] >= 0})


# ---------------------------------------------------------------------- uploads in parts
def test_an_upload_in_parts(lab: Lab) -> None:
    five = b"x" * (5 << 20)
    id = lab.s3.create_multipart_upload(Bucket="logs", Key="big", Metadata={"m": "1"}, ContentType="text/plain")[
        "UploadId"
    ]
    named = [
        {
            "PartNumber": n,
            "ETag": lab.s3.upload_part(Bucket="logs", Key="big", UploadId=id, PartNumber=n, Body=body)["ETag"],
        }
        for n, body in ((2, b"end"), (1, five))
    ]
    assert refused(lab.s3.get_object, Bucket="logs", Key="big") == "NoSuchKey"
    parts = lab.s3.list_parts(Bucket="logs", Key="big", UploadId=id, MaxParts=1)
    assert (parts["IsTruncated"], [part["PartNumber"] for part in parts["Parts"]]) == (True, [1])
    assert [one["Key"] for one in lab.s3.list_multipart_uploads(Bucket="logs")["Uploads"]] == ["big"]
    complete = {"Bucket": "logs", "Key": "big", "UploadId": id}
    finish = lab.s3.complete_multipart_upload
    assert refused(finish, **complete, MultipartUpload={"Parts": named}) == "InvalidPartOrder"
    wrong = [{"PartNumber": 1, "ETag": '"0"'}]
    assert refused(finish, **complete, MultipartUpload={"Parts": wrong}) == "InvalidPart"
    assert refused(finish, **{**complete, "Key": "other"}, MultipartUpload={"Parts": named[::-1]}) == "NoSuchUpload"
    made = finish(**complete, MultipartUpload={"Parts": named[::-1]})
    digests = hashlib.md5(five).digest() + hashlib.md5(b"end").digest()
    assert made["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'
    got = lab.s3.get_object(Bucket="logs", Key="big")
    assert got["Body"].read() == five + b"end"
    assert (got["Metadata"], got["ContentType"], got["ETag"]) == ({"m": "1"}, "text/plain", made["ETag"])
    assert refused(finish, **complete, MultipartUpload={"Parts": named[::-1]}) == "NoSuchUpload"
    assert "Uploads" not in lab.s3.list_multipart_uploads(Bucket="logs")


def test_uploads_that_end_otherwise(lab: Lab) -> None:
    id = lab.s3.create_multipart_upload(Bucket="logs", Key="big")["UploadId"]
    small = [
        {
            "PartNumber": n,
            "ETag": lab.s3.upload_part(Bucket="logs", Key="big", UploadId=id, PartNumber=n, Body=b"x")["ETag"],
        }
        for n in (1, 2)
    ]
    complete = {"Bucket": "logs", "Key": "big", "UploadId": id}
    assert refused(lab.s3.complete_multipart_upload, **complete, MultipartUpload={"Parts": small}) == "EntityTooSmall"
    assert (
        refused(lab.s3.upload_part, Bucket="logs", Key="big", UploadId=id, PartNumber=10001, Body=b"")
        == "InvalidArgument"
    )
    lab.front.pipeline.limits = Limits({"s3-object-bytes": 10})
    assert (
        refused(lab.s3.upload_part, Bucket="logs", Key="big", UploadId=id, PartNumber=3, Body=b"123456789")
        == "EntityTooLarge"
    )
    lab.s3.abort_multipart_upload(**complete)
    assert refused(lab.s3.list_parts, **complete) == "NoSuchUpload"
    for bad in ("../logs", "x", "a/b", "%00"):
        assert refused(lab.s3.list_parts, Bucket="logs", Key="big", UploadId=bad) == "NoSuchUpload"


def test_a_part_that_is_a_copy(lab: Lab) -> None:
    lab.s3.put_object(Bucket="logs", Key="from", Body=b"0123456789")
    id = lab.s3.create_multipart_upload(Bucket="logs", Key="to")["UploadId"]
    where: dict[str, Any] = {"Bucket": "logs", "Key": "to", "UploadId": id}
    part = lab.s3.upload_part_copy(**where, PartNumber=1, CopySource="logs/from", CopySourceRange="bytes=2-4")
    named = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
    lab.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": named})
    assert lab.s3.get_object(Bucket="logs", Key="to")["Body"].read() == b"234"


def test_the_bucket_in_the_host_name(lab: Lab) -> None:
    lab.put("a/k")
    for host in ("logs.s3.us-east-1.amazonaws.com", "logs.localhost:4566", "logs.s3-eu-west-1.amazonaws.com"):
        digest = {"X-Amz-Content-SHA256": hashlib.sha256(b"").hexdigest()}
        request = signed(b"", service="s3", method="GET", url=f"http://{host}/a/k", headers=digest)
        assert lab.front.pipeline.handle(request).body == b"a/k"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    path=st.sampled_from(["/", "/logs", "/logs/", "/logs/k", "/logs/%00", "/logs/%2e%2e/x", "/nothere/k", "//", "/logs/k/"]),
    query=st.lists(
        st.tuples(
            st.sampled_from(["uploads", "uploadId", "partNumber", "delete", "policy", "list-type", "max-keys", "prefix", "marker",
                             "acl", "versionId", "encoding-type", "continuation-token", "location", "x-id"]),
            st.sampled_from(["", "1", "2", "-1", "url", "a%2Fb", "99999999999999999999", "%FF", "Li4v"])), max_size=4),
    headers=st.dictionaries(
        st.sampled_from(["range", "if-match", "if-modified-since", "x_amz_copy_source", "x_amz_meta_a", "content_md5", "expires",
                         "x_amz_checksum_sha256", "x_amz_decoded_content_length"]),
        st.sampled_from(["", "bytes=1-", "x", "logs/k", "/", "Wed, 99 Foo", "AAAA", "-1"]), max_size=3),
    body=st.sampled_from([b"", b"x", b"<a/>", b"<Delete><Object><Key>k</Key></Object></Delete>", b"{}", b"\xff" * 10]),
)  # fmt: skip
def test_whatever_is_asked_is_done_or_refused(
    lab: Lab, method: str, path: str, query: list[tuple[str, str]], headers: dict[str, str], body: bytes
) -> None:
    """Never our own fault, and never another bucket's."""
    text = "&".join(f"{name}={value}" for name, value in query)
    answer = lab.raw(method, f"{path}?{text}" if text else path, body, **headers)
    assert answer.status < 500 or answer.status == 501
    assert lab.front.pipeline.internal_errors == 0


def test_who_is_not_known(lab: Lab) -> None:
    assert refused(lab.front.client("s3", key="AKIDNOBODY").list_buckets) == "InvalidAccessKeyId"
    assert refused(lab.front.client("s3", secret="wrong").list_buckets) == "SignatureDoesNotMatch"
