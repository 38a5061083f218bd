"""The iam/ part of instance metadata (IAM-11), without a network: paths and listings."""

from __future__ import annotations

import pytest

from ringfence.dataplane.services.imds import below_version, lookup, of_roles
from ringfence.policy.ir import Machine

MACHINE = Machine(
    instance_id="i-1", vpc_id="vpc-1", root="builtin", hostname="h", boots=1, user_data=None, imds_enabled=True,
    imds_v1=False, imds_hop_limit=1, imds_ipv6=False, metadata=(("meta-data/hostname", "h"), ("meta-data/mac", "m")),
)  # fmt: skip
ROLE = {"meta-data/iam/info": "INFO", "meta-data/iam/security-credentials/app": "SECRET"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/latest/meta-data/", "hostname\niam/\nmac"),
        ("/latest/meta-data/iam", "info\nsecurity-credentials/"),
        ("/latest/meta-data/iam/info", "INFO"),
        ("/latest/meta-data/iam/security-credentials/", "app"),
        ("/2021-07-15/meta-data/iam/security-credentials/app", "SECRET"),
        ("/latest/meta-data/iam/security-credentials/app?x=y", "SECRET"),
        ("/latest/meta-data/iam/security-credentials/other", None),
        ("/latest/iam/info", None),
        ("/meta-data/iam/info", None),
        ("/latest/meta-data/hostname", "h"),
    ],
)
def test_paths(path: str, text: str | None) -> None:
    assert lookup(MACHINE, path, ROLE) == text


def test_without_a_role_there_is_no_iam() -> None:
    assert lookup(MACHINE, "/latest/meta-data/") == "hostname\nmac"
    for path in ("/latest/meta-data/iam/", "/latest/meta-data/iam/info", "/latest/meta-data/iam/security-credentials/"):
        assert lookup(MACHINE, path) is None


def test_the_role_is_asked_for_only_where_it_shows() -> None:
    asked = ["/latest/meta-data/", "/latest/meta-data/iam", "/latest/meta-data/iam/info"]
    for path in (*asked, "/latest/meta-data/iamx", "/latest/meta-data/mac", "/latest/user-data", "/"):
        below = below_version(path)
        assert (below is not None and of_roles(below)) is (path in asked)
