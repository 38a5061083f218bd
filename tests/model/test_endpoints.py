"""Names of the AWS APIs: what botocore asks for is there, what it must not be is not, and the certificate covers all."""

from __future__ import annotations

from fnmatch import fnmatchcase
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

import ringfence.app  # noqa: F401  fills the registry
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire import model
from ringfence.model import endpoints
from ringfence.model.net import IPV6_POOL, PUBLIC_POOL

_CLIENT_NAMES = {"access-analyzer": "accessanalyzer", "monitoring": "cloudwatch"}
SERVED = sorted({service for service, _ in OPERATIONS})


def hosts(service: str, region: str, *, dual: bool) -> list[str]:
    made: Any = botocore.session.get_session().create_client(
        _CLIENT_NAMES.get(service, service), region_name=region, aws_access_key_id="a", aws_secret_access_key="b",
        config=Config(use_dualstack_endpoint=dual),
    )  # fmt: skip
    host = made.meta.endpoint_url.removeprefix("https://")
    return [host, f"a-bucket.{host}"] if service == "s3" else [host]


def covered(name: str) -> bool:
    return any(
        fnmatchcase(name, pattern) and name.count(".") == pattern.count(".") for pattern in endpoints.CERTIFICATE_NAMES
    )


@pytest.mark.parametrize("service", SERVED)
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-7"])
@pytest.mark.parametrize("dual", [False, True])
def test_every_name_a_client_makes_leads_to_the_api_under_a_certificate(service: str, region: str, dual: bool) -> None:
    for host in hosts(service, region, dual=dual):
        at4 = endpoints.S3_ADDRESSES[region] if service == "s3" else endpoints.ADDRESS4
        assert endpoints.addresses(host) == ((at4, endpoints.ADDRESS6) if dual else (at4,)), host
        assert covered(host), host


def test_names_with_the_prefixes_of_operations_lead_there_too() -> None:
    """Live Tail's: `stream-` of the model, `streaming-` of clients from before April 2026."""
    found = {(service, endpoint["hostPrefix"]) for service, action in OPERATIONS
             if (endpoint := (model.operation(service, action).endpoint or {})) and "{" not in endpoint["hostPrefix"]}  # fmt: skip
    assert ("logs", "stream-") in found
    for service, prefix in {*found, ("logs", "streaming-")}:
        for dual in (False, True):
            (host,) = hosts(service, "eu-west-1", dual=dual)
            assert endpoints.addresses(prefix + host) == endpoints.addresses(host) != (), host
            assert covered(prefix + host)


@pytest.mark.parametrize(
    "name",
    [
        "", "ec2.internal", "amazonaws.com", "api.aws", "us-east-1.amazonaws.com", "lambda.us-east-1.amazonaws.com",
        "iam.us-east-1.amazonaws.com", "logs.amazonaws.com", "ec2.nowhere-1.amazonaws.com", "sts.amazonaws.com.cn",
        "ec2.us-east-1.amazonaws.com.evil.example", "x.ec2.us-east-1.amazonaws.com", "ec2.us-east-1.api.aws.example",
        "ec2-198-18-1-2.compute-1.amazonaws.com", "dualstack.us-east-1.amazonaws.com", "s3.dualstack.amazonaws.com",
        "organizations.eu-west-1.amazonaws.com",
    ],
)  # fmt: skip
def test_other_names_lead_nowhere(name: str) -> None:
    assert endpoints.addresses(name) == ()


def test_the_addresses_are_public_here_and_nobody_else_gets_them() -> None:
    """`new_public_ip` begins at 256 and `new_ipv6_block` never has a zero there; AllocateAddress refuses to recover them."""
    assert endpoints.ADDRESS4 in PUBLIC_POOL
    assert int(endpoints.ADDRESS4) - int(PUBLIC_POOL.network_address) < 256
    assert all(block.subnet_of(IPv4Network("198.18.0.0/24")) for block in endpoints.S3_BLOCKS.values())
    assert all(not a.overlaps(b) for a, b in combinations(endpoints.S3_BLOCKS.values(), 2))
    assert all(endpoints.ADDRESS4 not in block for block in endpoints.S3_BLOCKS.values())
    assert endpoints.ADDRESS6 in IPV6_POOL
    assert int(endpoints.ADDRESS6) - int(IPV6_POOL.network_address) < 1 << 72
