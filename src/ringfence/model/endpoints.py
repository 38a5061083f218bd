"""The names and addresses under which an instance reaches the AWS APIs (AWS General Reference: "Service endpoints and
quotas", "Regional endpoints", "Dual-stack endpoints"; Amazon S3 User Guide: "Virtual hosting of general purpose buckets").

As on AWS the endpoints are public: an instance gets there through an internet gateway, with a public address
(docs/adr/0009). Amazon S3 of each Region has addresses of its own, which the Region's prefix list holds: a gateway endpoint
leads there too (VPE-01). Only the names of services that are served exist. Who may tell the name of an endpoint from others asks
`addresses`; who must prove to be one of them has `CERTIFICATE_NAMES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from ringfence.model.net import IPV6_POOL, PUBLIC_POOL, Address
from ringfence.model.regions import REGIONS

PORT = 443  # TLS only: not even AWS's own port 80 (IAM-13)
#: the first 256 addresses of the pool are never lent; blocks of VPCs never have a zero in this place
ADDRESS4 = PUBLIC_POOL.network_address + 1
ADDRESS6 = IPV6_POOL.network_address + 1
ADDRESSES: tuple[IPv4Address, IPv6Address] = (ADDRESS4, ADDRESS6)

#: the addresses of Amazon S3 in each Region, IPv4 only as gateway endpoints are (VPE-04); names lead to the first host
S3_BLOCKS: Mapping[str, IPv4Network] = {
    region: IPv4Network((int(PUBLIC_POOL.network_address) + 64 + 4 * place, 30)) for place, region in enumerate(REGIONS)
}
S3_ADDRESSES: Mapping[str, IPv4Address] = {region: block.network_address + 1 for region, block in S3_BLOCKS.items()}
#: every address at which the APIs are served on the internet
SERVED_AT: tuple[Address, ...] = (*ADDRESSES, *S3_ADDRESSES.values())
#: where the names of S3 without a Region lead
S3_GLOBAL_REGION = "us-east-1"

#: clients put `stream-` before the host for Live Tail, older ones `streaming-` (CloudWatch Logs API Reference: StartLiveTail)
_REGIONAL = frozenset({
    "access-analyzer", "cloudtrail", "ec2", "kms", "logs", "monitoring", "ram", "stream-logs", "streaming-logs", "sts",
})  # fmt: skip
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
        return (S3_ADDRESSES[region], ADDRESS6)
    if labels[-1:] == [_BUCKETS]:  # with or without a bucket before it
        return (S3_ADDRESSES[region or S3_GLOBAL_REGION],)
    known = len(labels) == 1 and labels[0] in (_REGIONAL if region else _GLOBAL)
    return (ADDRESS4,) if known else ()
