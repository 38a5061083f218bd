"""The names and addresses under which an instance reaches the AWS APIs (AWS General Reference: "Service endpoints and
quotas", "Regional endpoints", "Dual-stack endpoints"; Amazon S3 User Guide: "Virtual hosting of general purpose buckets").

As on AWS the endpoints are public: an instance gets there through an internet gateway, with a public address
(docs/adr/0009). Only the names of services that are served exist. Who may tell the name of an endpoint from others asks
`addresses`; who must prove to be one of them has `CERTIFICATE_NAMES`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from ringfence.model.net import IPV6_POOL, PUBLIC_POOL, Address
from ringfence.model.regions import REGIONS

PORT = 443  # TLS only: not even AWS's own port 80 (IAM-13)
#: the first 256 addresses of the pool are never lent; blocks of VPCs never have a zero in this place
ADDRESS4 = PUBLIC_POOL.network_address + 1
ADDRESS6 = IPV6_POOL.network_address + 1
ADDRESSES: tuple[IPv4Address, IPv6Address] = (ADDRESS4, ADDRESS6)

_REGIONAL = frozenset({"access-analyzer", "cloudtrail", "ec2", "logs", "monitoring", "sts"})
_BUCKETS = "s3"
#: under `amazonaws.com` itself: services without Regions, and the older names of some that have them
_GLOBAL = frozenset({"ec2", "iam", "sts", _BUCKETS})
#: services without Regions that have the name of a place all the same
_PLACED = frozenset({"organizations.us-east-1.amazonaws.com"})
_PLACED_BOTH = frozenset({"iam.global.api.aws", "organizations.aws-global.api.aws"})

#: what a certificate must be for: a `*` stands for one label (RFC 6125, section 6.4.3)
CERTIFICATE_NAMES: tuple[str, ...] = (
    "*.amazonaws.com", "*.s3.amazonaws.com", "*.global.api.aws", "*.aws-global.api.aws",
    *(
        f"*.{rest}"
        for region in REGIONS
        for rest in (
            f"{region}.amazonaws.com", f"s3.{region}.amazonaws.com", f"dualstack.{region}.amazonaws.com",
            f"s3.dualstack.{region}.amazonaws.com", f"{region}.api.aws",
        )
    ),
)  # fmt: skip


def addresses(name: str) -> tuple[Address, ...]:
    """Where a name (lower case, no final dot) leads; () when it is no endpoint's. IPv6 for dual-stack names only."""
    if name.endswith(".api.aws"):
        service, _, region = name.removesuffix(".api.aws").partition(".")
        both = name in _PLACED_BOTH or (service in _REGIONAL and region in REGIONS)
        return ADDRESSES if both else ()
    if not name.endswith(".amazonaws.com"):
        return ()
    if name in _PLACED:
        return (ADDRESS4,)
    labels = name.removesuffix(".amazonaws.com").split(".")
    region = labels.pop() if labels[-1] in REGIONS else ""
    if labels[-2:] == [_BUCKETS, "dualstack"] and region:
        return ADDRESSES
    if labels[-1:] == [_BUCKETS]:  # with or without a bucket before it
        return (ADDRESS4,)
    known = len(labels) == 1 and labels[0] in (_REGIONAL if region else _GLOBAL)
    return (ADDRESS4,) if known else ()
