"""The audit trail: one CloudTrail-shaped event for every call, without secrets (IAM-35, MON-11, MON-12)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.api import audit
from tests.api.front import ACCOUNT, KEY, Front

#: AWS CloudTrail User Guide, "CloudTrail record contents": fields every event has
FIELDS = {"eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress",
          "userAgent", "requestParameters", "requestID", "eventID", "eventType"}  # fmt: skip


@pytest.fixture
def front() -> Front:
    return Front()


def test_a_write_and_a_read_are_recorded_with_who_what_and_where(front: Front) -> None:
    ec2 = front.client("ec2", region="eu-west-1")
    made = ec2.create_vpc(CidrBlock="10.1.0.0/16")
    ec2.describe_vpcs(VpcIds=[made["Vpc"]["VpcId"]])
    write, read = front.audit()
    assert set(write) >= FIELDS
    assert write["userIdentity"] == {
        "type": "Root", "principalId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT, "accessKeyId": KEY,
    }  # fmt: skip
    assert (write["eventSource"], write["eventName"], write["awsRegion"]) == (
        "ec2.amazonaws.com",
        "CreateVpc",
        "eu-west-1",
    )
    assert write["requestParameters"] == {"CidrBlock": "10.1.0.0/16"}
    assert write["requestID"] == made["ResponseMetadata"]["RequestId"]
    assert (write["readOnly"], read["readOnly"]) == (False, True)
    assert "Boto3" in write["userAgent"]
    assert "errorCode" not in write
    assert write["eventID"] != read["eventID"]


def test_a_refused_operation_is_recorded_with_its_code(front: Front) -> None:
    with pytest.raises(ClientError):
        front.client("ec2").delete_vpc(VpcId="vpc-0123456789abcdef0")
    (event,) = front.audit()
    assert event["errorCode"] == "Client.InvalidVpcID.NotFound"
    assert event["requestParameters"] == {"VpcId": "vpc-0123456789abcdef0"}


def test_an_unauthenticated_call_is_recorded_with_what_it_claims(front: Front) -> None:
    with pytest.raises(ClientError):
        front.client("ec2", region="us-west-2", secret="wrong").describe_vpcs()
    (event,) = front.audit()
    assert set(event) >= FIELDS
    assert event["userIdentity"] == {"type": "Unknown", "accessKeyId": KEY}
    assert (event["eventName"], event["awsRegion"]) == ("DescribeVpcs", "us-west-2")
    assert event["errorCode"] == "Client.AuthFailure"


SECRETS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "user data": ("ec2", "RunInstances", {"MinCount": 1, "UserData": "s3cret"}),
    "user data of an attribute": ("ec2", "ModifyInstanceAttribute", {"UserData": {"Value": b"s3cret"}}),
    "user data in a list": ("ec2", "RequestSpotFleet", {"SpotFleetRequestConfig": {"LaunchSpecifications": [{"UserData": "s3cret"}]}}),
    "a tunnel's key": ("ec2", "CreateVpnConnection", {"Options": {"TunnelOptions": [{"PreSharedKey": "s3cret"}]}}),
    "a password": ("iam", "CreateLoginProfile", {"UserName": "ann", "Password": "s3cret"}),
    "a SAML assertion": ("sts", "AssumeRoleWithSAML", {"RoleArn": "r", "SAMLAssertion": "s3cret"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_left_out(name: str) -> None:
    """What the service model marks as sensitive, and user data."""
    service, action, params = SECRETS[name]
    shown = json.dumps(audit.redacted(params, audit._plan(service, action)), default=repr)
    assert "s3cret" not in shown
    assert audit.HIDDEN in shown


def test_what_is_no_secret_stays() -> None:
    params = {
        "MinCount": 1,
        "SecurityGroupIds": ["sg-1"],
        "NetworkInterfaces": [{"DeviceIndex": 0}],
        "UserData": "s3cret",
    }
    shown = audit.redacted(params, audit._plan("ec2", "RunInstances"))
    assert shown == {**params, "UserData": audit.HIDDEN}
    assert params["UserData"] == "s3cret"


def test_user_data_of_a_real_call_is_not_in_the_trail(front: Front) -> None:
    with pytest.raises(ClientError):
        front.client("ec2").run_instances(ImageId="ami-00000000", MinCount=1, MaxCount=1, UserData="s3cret-script")
    text = json.dumps(front.audit())
    assert "s3cret" not in text
    assert "czNjcmV0" not in text  # the same in base64
