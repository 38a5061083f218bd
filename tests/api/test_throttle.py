"""Request rates (INF-12): AWS's buckets, the codes that SDKs retry, and a flood that does not fill the audit trail."""

from __future__ import annotations

import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.throttle import Rates
from ringfence.model.rates import CHANGE, READ, UNFILTERED, Bucket, bucket_of
from tests.api.front import KEY, OTHER_KEY, SECRET, Front
from tests.api.live import live


class Ticks:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def front(ticks: Ticks) -> Front:
    made = Front()
    made.pipeline.rates = Rates(clock=ticks)
    return made


def outcome(call: Any, **params: Any) -> str:
    try:
        call(**params)
    except ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return "ok"


@pytest.mark.parametrize(
    ("service", "action", "unfiltered", "expected"),
    [
        ("ec2", "DescribeVpcs", True, READ),
        ("ec2", "DescribeSecurityGroups", False, READ),
        ("ec2", "DescribeSecurityGroups", True, UNFILTERED),
        ("ec2", "CreateVpc", False, CHANGE),
        ("ec2", "RunInstances", False, Bucket(5, 2)),
        ("ec2", "CreateTags", False, Bucket(100, 10)),
        ("ec2", "CreateDefaultVpc", False, Bucket(1, 1)),
        ("ec2", "TerminateInstances", False, Bucket(100, 5)),
        ("cloudtrail", "LookupEvents", False, Bucket(2, 2)),
        ("sts", "AssumeRole", False, Bucket(600, 600)),
    ],
)
def test_the_buckets_are_those_of_aws(service: str, action: str, unfiltered: bool, expected: Bucket) -> None:
    assert bucket_of(service, action, unfiltered=unfiltered) == expected


@pytest.mark.parametrize(
    ("call", "params", "size"),
    [
        ("describe_vpcs", {}, 100),
        ("describe_security_groups", {}, 50),
        ("describe_security_groups", {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]}, 100),
        ("describe_security_groups", {"MaxResults": 5}, 100),
        ("describe_network_interfaces", {}, 50),
        ("create_vpc", {"CidrBlock": "10.0.0.0/16", "DryRun": True}, 50),
    ],
)
def test_a_bucket_empties_and_fills_again(front: Front, ticks: Ticks, call: str, params: Any, size: int) -> None:
    done = 0
    ec2 = front.client("ec2")
    for _ in range(size):
        assert outcome(getattr(ec2, call), **params) != "RequestLimitExceeded"
        done += 1
    with pytest.raises(ClientError) as caught:
        getattr(ec2, call)(**params)
    assert caught.value.response["Error"]["Code"] == "RequestLimitExceeded"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert done == size
    ticks.now += 1.0  # another action, account or Region has a bucket of its own
    ec2.describe_subnets()
    front.client("ec2", key=OTHER_KEY).describe_vpcs()
    front.client("ec2", region="eu-west-1").describe_vpcs()
    assert outcome(getattr(ec2, call), **params) != "RequestLimitExceeded"


def test_instances_have_tokens_of_their_own(front: Front, ticks: Ticks) -> None:
    """Resource rate limiting: 1,000 instances at once, then two a second, in however many calls."""
    ec2 = front.client("ec2")
    launch = {"ImageId": "ami-12345678", "MinCount": 1, "DryRun": True}

    def code(count: int) -> str:
        ticks.now += 0.5  # one token of the request's own bucket, one instance
        with pytest.raises(ClientError) as caught:
            ec2.run_instances(MaxCount=count, **launch)
        return str(caught.value.response["Error"]["Code"])

    assert code(990) != "RequestLimitExceeded"
    assert code(20) == "RequestLimitExceeded"
    assert code(10) != "RequestLimitExceeded"
    assert code(20) == "RequestLimitExceeded"


@pytest.mark.parametrize(
    ("service", "call", "expected", "status"),
    [
        ("iam", "list_users", "Throttling", 400),
        ("sts", "get_caller_identity", "Throttling", 400),
        ("organizations", "describe_organization", "TooManyRequestsException", 400),
        ("cloudtrail", "describe_trails", "ThrottlingException", 400),
        ("ec2", "describe_vpcs", "RequestLimitExceeded", 503),
        ("s3", "list_buckets", "SlowDown", 503),
    ],
)
def test_each_service_has_its_word_for_it(front: Front, service: str, call: str, expected: str, status: int) -> None:
    front.pipeline.rates = Rates(1e-9)
    client = front.client(service)
    with pytest.raises(ClientError) as caught:
        getattr(client, call)()
    error = caught.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == (expected, status)
    assert front.audit()[-1]["errorCode"].endswith(expected)


def test_clients_wait_and_succeed() -> None:
    """boto3's standard retries get through when the bucket has filled again."""
    front = Front()
    front.pipeline.rates = Rates(0.02)  # two tokens, and one each 2.5 seconds
    with live(front) as server:
        ec2 = boto3.client(
            "ec2", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            config=Config(retries={"max_attempts": 10, "mode": "standard"}),
        )  # fmt: skip
        answers = [ec2.describe_vpcs(MaxResults=5) for _ in range(3)]
    assert sum(one["ResponseMetadata"]["RetryAttempts"] for one in answers) > 0


def test_a_flood_leaves_two_records_a_minute(front: Front) -> None:
    """The first refusal whole, the others as one count; a refused call changes nothing."""
    ask = {"Action": "DescribeVpcs", "Version": "2016-11-15"}
    assert [front.ask(ask).status for _ in range(101)] == [200] * 100 + [503]
    before, world = len(front.audit()), front.store.world
    assert {front.ask(ask).code for _ in range(300)} == {"RequestLimitExceeded"}
    assert len(front.audit()) == before
    front.pipeline.throttled.flush(time.time())
    assert len(front.audit()) == before  # the minute is not over
    front.pipeline.throttled.flush()
    last = front.audit()[-1]
    assert (len(front.audit()), last["eventName"]) == (before + 1, "ThrottledCalls")
    assert last["additionalEventData"]["calls"] == {"ec2:DescribeVpcs": 300}
    assert front.store.world is world
    front.ask(ask)
    assert front.audit()[-1]["errorCode"] == "Server.RequestLimitExceeded"


def test_invented_actions_make_no_buckets(front: Front) -> None:
    assert front.pipeline.rates is not None
    for number in range(300):
        front.ask({"Action": f"Invented{number}", "Version": "2016-11-15"})
    assert len(front.pipeline.rates._held) == 1
    assert front.audit()[-1]["errorCode"].endswith("RequestLimitExceeded")


def test_every_served_action_has_a_bucket() -> None:
    for service, action in OPERATIONS:
        size = bucket_of(service, action)
        assert size.capacity >= 1
        assert size.refill > 0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), max_size=60))
def test_no_more_than_the_bucket_and_its_refill(steps: list[tuple[float, int]]) -> None:
    """Whatever the pauses: what was let through never exceeds the capacity and what came back meanwhile."""
    ticks = Ticks()
    rates, size, passed = Rates(clock=ticks), Bucket(5, 2), 0
    held = rates._new(("a", "r", "s", "x"), size)
    for pause, tokens in steps:
        ticks.now += pause
        if rates._take(held, float(tokens)):
            passed += tokens
        assert passed <= size.capacity + ticks.now * size.refill + 1e-6
