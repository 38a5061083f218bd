"""Service quotas as dated data (Amazon VPC User Guide: "Amazon VPC quotas", read 2026-11; spec section 15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota: Service Quotas code (or our name where AWS has none), default, hard maximum, error code."""

    code: str
    default: int
    maximum: int | None
    error: str


QUOTAS: dict[str, Quota] = {
    "vpcs": Quota("L-F678F1CE", 5, None, "VpcLimitExceeded"),
    "subnets-per-vpc": Quota("L-407747CB", 200, None, "SubnetLimitExceeded"),
    "ipv4-cidrs-per-vpc": Quota("L-83CA0A9D", 5, 50, "CidrLimitExceeded"),
    "ipv6-cidrs-per-vpc": Quota("L-085A6257", 5, 50, "CidrLimitExceeded"),
    "internet-gateways": Quota("L-A4707A72", 5, None, "InternetGatewayLimitExceeded"),
    "elastic-ips": Quota("L-0263D0A3", 5, None, "AddressLimitExceeded"),
    "network-acls-per-vpc": Quota("L-B4A6D682", 200, None, "NetworkAclLimitExceeded"),
    "rules-per-network-acl": Quota("L-2AEEBF1A", 20, 40, "NetworkAclEntryLimitExceeded"),
    "security-groups": Quota("L-E79EC296", 2500, None, "SecurityGroupLimitExceeded"),
    "rules-per-security-group": Quota("L-0EA8095F", 60, 1000, "RulesPerSecurityGroupLimitExceeded"),
    "security-groups-per-interface": Quota("L-2AFB9258", 5, 16, "SecurityGroupsPerInterfaceLimitExceeded"),
    "network-interfaces": Quota("L-DF5E4CA3", 5000, None, "NetworkInterfaceLimitExceeded"),
    "route-tables-per-vpc": Quota("L-589F43AA", 200, None, "RouteTableLimitExceeded"),
    "routes-per-table": Quota("L-93826ACB", 500, 1000, "RouteLimitExceeded"),
    "tags-per-resource": Quota("tags", 50, 50, "TagLimitExceeded"),
}

#: what `--quotas lab` (the default of `--ephemeral`) raises: counts per Region only, never rule limits
LAB: dict[str, int] = {"vpcs": 1000, "internet-gateways": 1000, "elastic-ips": 1000}


class Limits:
    """The quotas in force: defaults, with adjustments. ValueError for an unknown name or a value past the maximum."""

    def __init__(self, adjusted: Mapping[str, int] | None = None) -> None:
        by_code = {quota.code: name for name, quota in QUOTAS.items()}
        self._values = {name: quota.default for name, quota in QUOTAS.items()}
        for given, value in (adjusted or {}).items():
            name = by_code.get(given, given)
            if name not in QUOTAS:
                raise ValueError(f"unknown quota {given!r}")
            maximum = QUOTAS[name].maximum
            if value < 0 or (maximum is not None and value > maximum):
                raise ValueError(f"quota {name} must be 0..{maximum}")
            self._values[name] = value
        product = self._values["rules-per-security-group"] * self._values["security-groups-per-interface"]
        if product > 1000:  # SG-59
            raise ValueError("rules per group times groups per interface may not exceed 1,000 (SG-59)")

    def __getitem__(self, name: str) -> int:
        return self._values[name]
