"""Service quotas as dated data (Amazon VPC User Guide: "Amazon VPC quotas"; IAM User Guide: "IAM and AWS STS quotas";
both read 2026-11; spec section 15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota: Service Quotas code (or our name where AWS has none), default, hard maximum, error code, name in errors."""

    code: str
    default: int
    maximum: int | None
    error: str
    label: str = ""


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
    # MON-09: of one VPC, and of a VPC and its peers in the Region
    "network-address-usage": Quota("L-BB24F6E5", 64_000, 256_000, "NetworkAddressUsageLimitExceeded"),
    "peered-network-address-usage": Quota("L-CD17FD4B", 128_000, 512_000, "NetworkAddressUsagePeeredLimitExceeded"),
    "network-interfaces": Quota("L-DF5E4CA3", 5000, None, "NetworkInterfaceLimitExceeded"),
    "route-tables-per-vpc": Quota("L-589F43AA", 200, None, "RouteTableLimitExceeded"),
    "routes-per-table": Quota("L-93826ACB", 500, 1000, "RouteLimitExceeded"),
    # PL-14. A list's own MaxEntries is what it counts as in groups and tables; `references`: of one kind of resource, all accounts
    "prefix-lists": Quota("prefix-lists", 100, None, "PrefixListLimitExceeded"),
    "prefix-list-versions": Quota("prefix-list-versions", 1000, None, "PrefixListLimitExceeded"),
    "entries-per-prefix-list": Quota("entries-per-prefix-list", 1000, 1000, "PrefixListMaxEntriesExceeded"),
    "references-per-prefix-list": Quota("references-per-prefix-list", 10_000, None, "PrefixListReferenceLimitExceeded"),
    "gateway-endpoints": Quota("L-1B52E74A", 20, None, "VpcEndpointLimitExceeded"),
    "active-peerings-per-vpc": Quota("L-7E9ECCDB", 50, 125, "ActiveVpcPeeringConnectionPerVpcLimitExceeded"),
    "outstanding-peering-requests": Quota("L-DC9F7029", 25, None, "OutstandingVpcPeeringConnectionLimitExceeded"),
    # the guide names no quota of flow logs; the error exists: the number is ours
    "flow-logs-per-resource": Quota("flow-logs-per-resource", 10, None, "FlowLogsLimitExceeded"),
    # Reachability Analyzer guide, "Quotas"; at most 100 analyses run at once there, here each ends before its reply
    "network-insights-paths": Quota("network-insights-paths", 1000, None, "NetworkInsightsPath.LimitExceeded"),
    "network-insights-analyses": Quota(
        "network-insights-analyses", 10_000, None, "NetworkInsightsAnalysis.LimitExceeded"
    ),
    # Network Access Analyzer guide, "Quotas": scopes and analyses; 10,000 findings of an analysis, not adjustable
    "access-scopes": Quota("access-scopes", 1000, None, "NetworkInsightsAccessScope.LimitExceeded"),
    "access-scope-analyses": Quota(
        "access-scope-analyses", 10_000, None, "NetworkInsightsAccessScopeAnalysis.LimitExceeded"
    ),
    "trails-per-region": Quota("L-5A4D4A97", 5, None, "MaximumNumberOfTrailsExceededException"),
    "s3-buckets": Quota("L-DC2B2D3D", 100, None, "TooManyBuckets"),
    "s3-object-bytes": Quota("s3-object-bytes", 64 << 20, 1 << 30, "EntityTooLarge"),  # AWS: 5 GiB in one request
    # CloudWatch Logs User Guide, "CloudWatch Logs service quotas"
    "log-groups": Quota("L-D2832119", 1_000_000, None, "LimitExceededException"),
    "metric-filters-per-log-group": Quota("metric-filters-per-log-group", 100, 100, "LimitExceededException"),
    "log-resource-policies": Quota("log-resource-policies", 10, 10, "LimitExceededException"),
    "live-tail-sessions": Quota("live-tail-sessions", 15, None, "LimitExceededException"),  # of an account and Region
    # AWS KMS Developer Guide, "Resource quotas"
    "kms-keys": Quota("L-C2F1777E", 100_000, None, "LimitExceededException"),
    "kms-aliases-per-key": Quota("L-CC0A5E6C", 50, None, "LimitExceededException"),
    "kms-grants-per-key": Quota("L-BF6B8A87", 50_000, None, "LimitExceededException"),
    "metric-alarms": Quota("metric-alarms", 5000, None, "LimitExceeded", "alarms"),  # "CloudWatch service quotas"
    "tags-per-resource": Quota("tags", 50, 50, "TagLimitExceeded"),
    "iam-users": Quota("L-F55AF5E4", 5000, 5000, "LimitExceeded", "UsersPerAccount"),
    "iam-groups": Quota("L-F4A5425F", 300, 500, "LimitExceeded", "GroupsPerAccount"),
    "iam-roles": Quota("L-FE177D64", 1000, 10_000, "LimitExceeded", "RolesPerAccount"),
    "iam-policies": Quota("L-E95E4862", 1500, 10_000, "LimitExceeded", "PoliciesPerAccount"),
    "iam-instance-profiles": Quota("L-6E65F664", 1000, 10_000, "LimitExceeded", "InstanceProfilesPerAccount"),
    "iam-oidc-providers": Quota("L-858F3967", 100, 700, "LimitExceeded", "OpenIdConnectProvidersPerAccount"),
    "iam-saml-providers": Quota("L-DB618D39", 100, 1000, "LimitExceeded", "SamlProvidersPerAccount"),
    "iam-access-keys-per-user": Quota("L-8758042E", 2, 2, "LimitExceeded", "AccessKeysPerUser"),
    "iam-groups-per-user": Quota("L-7A1621EC", 10, 10, "LimitExceeded", "GroupsPerUser"),
    "iam-mfa-devices-per-user": Quota("mfa-devices-per-user", 8, 8, "LimitExceeded", "MfaDevicesPerUser"),
    "iam-policies-per-user": Quota("L-4019AD8B", 10, 20, "LimitExceeded", "PoliciesPerUser"),
    "iam-policies-per-group": Quota("L-384571C4", 10, 10, "LimitExceeded", "PoliciesPerGroup"),
    "iam-policies-per-role": Quota("L-0DA4ABF3", 10, 25, "LimitExceeded", "PoliciesPerRole"),
    "iam-trust-policy-size": Quota("L-C07B4B0D", 2048, 4096, "LimitExceeded", "ACLSizePerRole"),
    "iam-policy-size": Quota("policy-size", 6144, 6144, "LimitExceeded", "PolicySize"),
    "iam-tags": Quota("iam-tags", 50, 50, "LimitExceeded", "TagsPerResource"),
    "iam-client-ids-per-provider": Quota(
        "client-ids-per-provider", 100, 100, "LimitExceeded", "ClientIdsPerOpenIdConnectProvider"
    ),
    "iam-thumbprints-per-provider": Quota(
        "thumbprints-per-provider", 5, 5, "LimitExceeded", "ThumbprintsPerOpenIdConnectProvider"
    ),
    # AWS Organizations User Guide, "Quotas and service limits"; the error's Reason is the operation's to name
    "organizations-accounts": Quota("L-E619E033", 10, None, "ConstraintViolationException"),
    "organizations-units": Quota("organizations-units", 2000, 2000, "ConstraintViolationException"),
    "organizations-policies": Quota("organizations-policies", 1000, 1000, "ConstraintViolationException"),
    "organizations-tags": Quota("organizations-tags", 50, 50, "ConstraintViolationException"),
}
#: of service and resource control policies: on one target, characters of a document, and how deep units nest
ORGANIZATION_POLICIES_PER_TARGET, ORGANIZATION_POLICY_SIZE, ORGANIZATION_DEPTH = 5, 5120, 5
#: characters, whitespace not counted, that all inline policies of one identity may have; these are not adjustable
INLINE_POLICY_SIZE = {"user": 2048, "role": 10_240, "group": 5120}
POLICY_VERSIONS = 5

#: what `--quotas lab` (the default of `--ephemeral`) raises: counts per Region only, never rule limits
LAB: dict[str, int] = {"vpcs": 1000, "internet-gateways": 1000, "elastic-ips": 1000, "organizations-accounts": 1000}


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
