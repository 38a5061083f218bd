"""Who may do what to buckets and objects: identity policies, bucket policies, other accounts (IAM-18, POL-17, POL-23 … POL-26)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.front import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY
from tests.api.test_s3 import Lab


class House(Lab):
    """A bucket `logs` with `mine/a` and `theirs/a`, and users of both accounts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.put("mine/a", "theirs/a")

    def user(self, *statements: dict[str, Any], root: str | None = None) -> Any:
        """An S3 client of a user who has one policy; `root`: the key of the account's root."""
        iam = self.front.client("iam", key=root) if root else self.front.client("iam")
        iam.create_user(UserName="u")
        if statements:
            iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document(*statements))
        key = iam.create_access_key(UserName="u")["AccessKey"]
        return self.front.client("s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def policy(self, *statements: dict[str, Any]) -> None:
        self.s3.put_bucket_policy(Bucket="logs", Policy=document(*statements))


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action: str | list[str], *resources: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": [f"arn:aws:s3:::{one}" for one in resources], **more}


def deny(action: str | list[str], *resources: str, **more: Any) -> dict[str, Any]:
    return allow(action, *resources, **more) | {"Effect": "Deny"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def outcome(call: Any, **params: Any) -> str:
    try:
        call(**params)
    except ClientError as refused:
        return str(refused.response["Error"]["Code"])
    return "ok"


def test_an_identity_policy_names_buckets_and_objects(house: House) -> None:
    s3 = house.user(
        allow("s3:GetObject", "logs/mine/*"),
        allow("s3:ListBucket", "logs", Condition={"StringEquals": {"s3:prefix": "mine/"}}),
    )
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(s3.head_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(s3.get_object, Bucket="logs", Key="theirs/a") == "AccessDenied"
    assert outcome(s3.put_object, Bucket="logs", Key="mine/b", Body=b"") == "AccessDenied"
    assert outcome(s3.list_objects_v2, Bucket="logs", Prefix="mine/") == "ok"
    assert outcome(s3.list_objects, Bucket="logs", Prefix="mine/") == "ok"
    assert outcome(s3.list_objects_v2, Bucket="logs", Prefix="theirs/") == "AccessDenied"
    assert outcome(s3.list_objects_v2, Bucket="logs") == "AccessDenied"
    assert outcome(s3.list_buckets) == "AccessDenied"
    assert outcome(s3.get_object, Bucket="logs", Key="mine/none") == "AccessDenied"  # who may not list learns no keys
    refused = house.front.audit()[-1]
    assert (refused["errorCode"], refused["requestParameters"]["Key"]) == ("AccessDenied", "mine/none")


def test_many_are_deleted_as_far_as_each_may_be(house: House) -> None:
    s3 = house.user(allow("s3:DeleteObject", "logs/mine/*"))
    reply = s3.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "mine/a"}, {"Key": "theirs/a"}]})
    assert [item["Key"] for item in reply["Deleted"]] == ["mine/a"]
    assert [(item["Key"], item["Code"]) for item in reply["Errors"]] == [("theirs/a", "AccessDenied")]
    assert list(house.files.keys("logs")) == ["theirs/a"]


def test_a_copy_needs_both_ends(house: House) -> None:
    s3 = house.user(allow("s3:PutObject", "logs/mine/*"), allow("s3:GetObject", "logs/mine/*"))
    assert outcome(s3.copy_object, Bucket="logs", Key="mine/b", CopySource="logs/mine/a") == "ok"
    assert outcome(s3.copy_object, Bucket="logs", Key="mine/b", CopySource="logs/theirs/a") == "AccessDenied"
    assert outcome(s3.copy_object, Bucket="logs", Key="mine/b", CopySource="/logs/%74heirs/a") == "AccessDenied"
    assert outcome(s3.copy_object, Bucket="logs", Key="theirs/b", CopySource="logs/mine/a") == "AccessDenied"


def test_parts_are_puts(house: House) -> None:
    s3 = house.user(allow("s3:PutObject", "logs/mine/*"))
    id = s3.create_multipart_upload(Bucket="logs", Key="mine/b")["UploadId"]
    assert outcome(s3.upload_part, Bucket="logs", Key="mine/b", UploadId=id, PartNumber=1, Body=b"x") == "ok"
    assert outcome(s3.create_multipart_upload, Bucket="logs", Key="theirs/b") == "AccessDenied"
    assert (
        outcome(s3.upload_part, Bucket="logs", Key="theirs/b", UploadId=id, PartNumber=1, Body=b"x") == "AccessDenied"
    )
    assert outcome(s3.abort_multipart_upload, Bucket="logs", Key="mine/b", UploadId=id) == "AccessDenied"


# ---------------------------------------------------------------------- the bucket's side
def test_a_bucket_policy_alone_lets_in_the_same_account(house: House) -> None:
    s3 = house.user()
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    house.policy(allow("s3:GetObject", "logs/*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"}))
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "ok"
    house.policy(deny("s3:*", "logs", "logs/*", Principal="*"))
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"  # the root too
    assert outcome(house.s3.delete_bucket_policy, Bucket="logs") == "ok"  # AWS: but it can always mend the policy
    assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "ok"


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [(0, 0, "AccessDenied"), (0, 1, "AccessDenied"), (1, 0, "AccessDenied"), (1, 1, "ok")],
)
def test_another_account_needs_both_sides(house: House, theirs: int, ours: int, expected: str) -> None:
    s3 = house.user(*([allow("s3:GetObject", "logs/*")] if theirs else []), root=OTHER_KEY)
    if ours:
        house.policy(allow("s3:GetObject", "logs/mine/*", Principal={"AWS": OTHER_ACCOUNT}))
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == expected
    assert outcome(s3.get_object, Bucket="logs", Key="theirs/a") == "AccessDenied"


def test_the_root_of_another_account_has_no_more_rights(house: House) -> None:
    other = house.front.client("s3", key=OTHER_KEY)
    for call, params in ((other.get_object, {"Key": "mine/a"}), (other.put_object, {"Key": "x", "Body": b""}),
                         (other.delete_bucket, {}), (other.put_bucket_policy, {"Policy": "{}"}), (other.list_objects_v2, {}),
                         (other.get_bucket_policy, {})):  # fmt: skip
        assert outcome(call, Bucket="logs", **params) == "AccessDenied"
    house.policy(allow("s3:*", "logs", "logs/*", Principal={"AWS": OTHER_ACCOUNT}))
    assert outcome(other.get_object, Bucket="logs", Key="mine/a") == "ok"
    listed = other.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "mine/a"}]})
    assert [item["Key"] for item in listed["Deleted"]] == ["mine/a"]


def test_a_policy_must_be_one_of_this_bucket(house: House) -> None:
    for bad in ("", "{", "[]", document(allow("s3:GetObject", "other/*", Principal="*")),
                document(allow("ec2:RunInstances", "logs/*", Principal="*")),
                document(allow("s3:GetObject", "logs/*")), document(allow("s3:GetObject", "log/*", Principal="*"))):  # fmt: skip
        assert outcome(house.s3.put_bucket_policy, Bucket="logs", Policy=bad) in (
            "MalformedPolicy",
            "MissingRequestBodyError",
        )
    text = document(allow("s3:GetObject", "logs/*", Principal="*"))
    house.s3.put_bucket_policy(Bucket="logs", Policy=text)
    assert house.s3.get_bucket_policy(Bucket="logs")["Policy"] == text


def test_a_delivery_asks_for_the_owners_full_control(house: House) -> None:
    """POL-17, as a client of another account meets it."""
    condition = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
    house.policy(
        allow("s3:PutObject", f"logs/AWSLogs/{OTHER_ACCOUNT}/*", Principal={"AWS": OTHER_ACCOUNT}, Condition=condition)
    )
    other = house.front.client("s3", key=OTHER_KEY)
    key, acl = f"AWSLogs/{OTHER_ACCOUNT}/x", "bucket-owner-full-control"
    assert outcome(other.put_object, Bucket="logs", Key=key, Body=b"", ACL=acl) == "ok"
    assert outcome(other.put_object, Bucket="logs", Key=key, Body=b"") == "AccessDenied"
    assert outcome(other.put_object, Bucket="logs", Key=f"AWSLogs/{ACCOUNT}/x", Body=b"", ACL=acl) == "AccessDenied"
    assert outcome(other.put_object, Bucket="logs", Key="x", Body=b"", ACL=acl) == "AccessDenied"


def test_conditions_that_only_an_endpoint_fulfils(house: House) -> None:
    """POL-24, POL-25 from outside any endpoint: aws:SourceVpce and aws:SourceVpc are absent, and so the deny holds."""
    for key, value in (("aws:SourceVpce", "vpce-1"), ("aws:SourceVpc", "vpc-1")):
        house.policy(deny("s3:GetObject", "logs/*", Principal="*", Condition={"StringNotEquals": {key: value}}))
        assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    owned = {"StringNotEquals": {"s3:ResourceAccount": ACCOUNT}}
    house.policy(deny("s3:GetObject", "logs/*", Principal="*", Condition=owned))
    assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "ok"


# ---------------------------------------------------------------------- through endpoints
class Through:
    """An endpoint of a VPC, and clients whose requests come in by its socket."""

    def __init__(self, house: House, *statements: dict[str, Any]) -> None:
        self.house, self.ec2 = house, house.front.client("ec2")
        self.vpc = str(self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
        self.id = self.endpoint(*statements)

    def endpoint(self, *statements: dict[str, Any]) -> str:
        policy = {"PolicyDocument": document(*statements)} if statements else {}
        made = self.ec2.create_vpc_endpoint(VpcId=self.vpc, ServiceName="com.amazonaws.us-east-1.s3", **policy)
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def client(self, id: str | None = None, service: str = "s3", **how: Any) -> Any:
        return self.house.front.client(service, through=id or self.id, **how)

    def user(self, *statements: dict[str, Any]) -> Any:
        """A user's client through the endpoint."""
        outside = self.house.user(*statements)
        key = outside._request_signer._credentials
        return self.client(key=key.access_key, secret=key.secret_key)


EVERYTHING = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


def message(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Message"])


def test_an_endpoint_for_one_bucket(house: House) -> None:
    """POL-23, VPE-08: the endpoint's policy limits even the root user, and grants nothing to anybody."""
    through = Through(house, allow(["s3:GetObject", "s3:PutObject"], "logs", "logs/*", Principal="*"))
    house.s3.create_bucket(Bucket="other")
    house.s3.put_object(Bucket="other", Key="k", Body=b"")
    root = through.client()
    assert outcome(root.get_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(root.put_object, Bucket="logs", Key="x", Body=b"") == "ok"
    assert outcome(root.get_object, Bucket="other", Key="k") == "AccessDenied"
    assert outcome(root.list_objects_v2, Bucket="logs") == "AccessDenied"
    assert message(root.list_objects_v2, Bucket="logs").endswith(
        "on resource: arn:aws:s3:::logs because no VPC endpoint policy allows the s3:ListBucket action"
    )
    listed = root.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "x"}]})
    assert [item["Code"] for item in listed["Errors"]] == ["AccessDenied"]
    assert outcome(house.s3.list_objects_v2, Bucket="logs") == "ok"
    assert outcome(through.user().get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    through.ec2.modify_vpc_endpoint(VpcEndpointId=through.id, ResetPolicy=True)
    assert outcome(root.list_objects_v2, Bucket="logs") == "ok"


@pytest.mark.parametrize("key", ["aws:sourceVpce", "aws:sourceVpc"])
def test_a_bucket_for_one_endpoint_or_vpc(house: House, key: str) -> None:
    """POL-24, POL-25."""
    through = Through(house)
    sibling, far = through.endpoint(), Through(house)
    value = through.id if key == "aws:sourceVpce" else through.vpc
    only = {"StringNotEquals": {key: value}}
    house.policy(deny(["s3:GetObject", "s3:ListBucket"], "logs", "logs/*", Principal="*", Condition=only))
    for client, expected in [
        (through.client(), "ok"), (through.client(sibling), "ok" if key == "aws:sourceVpc" else "AccessDenied"),
        (far.client(), "AccessDenied"), (house.s3, "AccessDenied"),
    ]:  # fmt: skip
        assert outcome(client.get_object, Bucket="logs", Key="mine/a") == expected
        assert outcome(client.list_objects_v2, Bucket="logs") == expected


def test_an_endpoint_for_buckets_of_the_own_account(house: House) -> None:
    """POL-26."""
    guard = {"StringNotEquals": {"s3:ResourceAccount": ACCOUNT}}
    through = Through(house, EVERYTHING, {**EVERYTHING, "Effect": "Deny", "Action": "s3:*", "Condition": guard})
    theirs = house.front.client("s3", key=OTHER_KEY)
    theirs.create_bucket(Bucket="theirs")
    theirs.put_object(Bucket="theirs", Key="k", Body=b"")
    grant = document(allow("s3:GetObject", "theirs/*", Principal={"AWS": ACCOUNT}))
    theirs.put_bucket_policy(Bucket="theirs", Policy=grant)
    root = through.client()
    assert outcome(root.get_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(root.get_object, Bucket="theirs", Key="k") == "AccessDenied"
    assert message(root.get_object, Bucket="theirs", Key="k").endswith("with an explicit deny in a VPC endpoint policy")
    assert outcome(house.s3.get_object, Bucket="theirs", Key="k") == "ok"


def test_no_address_is_the_source_of_what_comes_through_an_endpoint(house: House) -> None:
    """POL-29, VPE-09: aws:SourceIp is absent, so that a deny of all but some addresses always holds; the private address has a key
    of its own."""
    through = Through(house)
    for value in ("0.0.0.0/0", "127.0.0.0/8", "10.0.0.0/8"):
        elsewhere = {"NotIpAddress": {"aws:SourceIp": value}}
        house.policy(deny("s3:GetObject", "logs/*", Principal="*", Condition=elsewhere))
        assert outcome(through.client().get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    house.policy(deny("s3:GetObject", "logs/*", Principal="*",
                      Condition={"NotIpAddress": {"aws:VpcSourceIp": "127.0.0.1/32"}}))  # fmt: skip
    assert outcome(through.client().get_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"


def test_an_account_as_principal_of_an_endpoint_is_its_root(house: House) -> None:
    """VPE-10; a deny of the account is one of everybody in it."""
    through = Through(house, {**EVERYTHING, "Principal": {"AWS": ACCOUNT}})
    user, root = through.user(allow("s3:*", "*")), through.client()
    assert outcome(root.get_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(user.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    only = {**EVERYTHING, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"}}
    through.ec2.modify_vpc_endpoint(VpcEndpointId=through.id, PolicyDocument=document(only))
    assert outcome(root.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    assert outcome(user.get_object, Bucket="logs", Key="mine/a") == "ok"
    refuse = {**EVERYTHING, "Effect": "Deny", "Principal": {"AWS": ACCOUNT}}
    through.ec2.modify_vpc_endpoint(VpcEndpointId=through.id, PolicyDocument=document(EVERYTHING, refuse))
    assert outcome(user.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"


def test_an_endpoint_leads_to_s3_of_its_region_alone(house: House) -> None:
    """VPE-01, VPE-04: by no other name in the request does it lead further; and it leads nowhere once it is deleted."""
    through = Through(house)
    for service, call in (("ec2", "describe_vpcs"), ("iam", "list_users"), ("sts", "get_caller_identity")):
        client = through.client(service=service)
        assert outcome(getattr(client, call)) == "AuthorizationHeaderMalformed", service
    far = through.client(region="eu-west-1")
    assert outcome(far.get_object, Bucket="logs", Key="mine/a") == "AuthorizationHeaderMalformed"
    client = through.client()
    assert outcome(client.get_object, Bucket="logs", Key="mine/a") == "ok"
    through.ec2.delete_vpc_endpoints(VpcEndpointIds=[through.id])
    assert outcome(client.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"


def test_the_record_names_the_endpoint(house: House) -> None:
    """MON-11: `vpcEndpointId`, and the private address."""
    through = Through(house)
    through.client().list_buckets()
    event = house.front.audit()[-1]
    assert (event["eventName"], event["vpcEndpointId"]) == ("ListBuckets", through.id)
    house.s3.list_buckets()
    assert "vpcEndpointId" not in house.front.audit()[-1]
