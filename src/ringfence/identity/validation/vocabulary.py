"""Names that policies may use: condition keys that every service knows, and what the caller knows of services.

IAM User Guide: "AWS global condition context keys" (read November 2026).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

#: types as the Service Authorization Reference names them; a name that ends in "/" is followed by a tag's key
GLOBAL_KEYS: Mapping[str, str] = {
    key.lower(): kind
    for kind, keys in {
        "String": (
            "aws:AssumedRoot", "aws:CalledViaFirst", "aws:CalledViaLast", "aws:Ec2InstanceSourceVpc", "aws:FederatedProvider",
            "aws:PrincipalAccount", "aws:PrincipalOrgID", "aws:PrincipalServiceName", "aws:PrincipalTag/", "aws:PrincipalType",
            "aws:Referer", "aws:RequestTag/", "aws:RequestedRegion", "aws:ResourceAccount", "aws:ResourceOrgID", "aws:ResourceTag/",
            "aws:SourceAccount", "aws:SourceIdentity", "aws:SourceOrgID", "aws:SourceOwner", "aws:SourceVpc", "aws:SourceVpce",
            "aws:UserAgent", "aws:userid", "aws:username", "aws:VpceAccount", "aws:VpceOrgID",
        ),
        "ArrayOfString": (
            "aws:CalledVia", "aws:PrincipalOrgPaths", "aws:PrincipalServiceNamesList", "aws:ResourceOrgPaths", "aws:SourceOrgPaths",
            "aws:TagKeys", "aws:VpceOrgPaths",
        ),
        "ARN": ("aws:ChatbotSourceArn", "aws:PrincipalArn", "aws:SourceArn", "aws:SourceVpcArn"),
        "Bool": ("aws:MultiFactorAuthPresent", "aws:PrincipalIsAWSService", "aws:SecureTransport", "aws:ViaAWSService"),
        "Date": ("aws:CurrentTime", "aws:TokenIssueTime"),
        "Date or Numeric": ("aws:EpochTime",),
        "Numeric": ("aws:MultiFactorAuthAge",),
        "IPAddress": ("aws:Ec2InstanceSourcePrivateIPv4", "aws:SourceIp", "aws:VpcSourceIp"),
    }.items()
    for key in keys
}  # fmt: skip

#: type of a key -> the operators that fit it, by how their names start
FITTING: Mapping[str, tuple[str, ...]] = {
    "String": ("string",),
    "ARN": ("arn", "string"),
    "Bool": ("bool", "string"),
    "Date": ("date", "numeric"),
    "Date or Numeric": ("date", "numeric"),
    "Numeric": ("numeric",),
    "IPAddress": ("ipaddress", "notipaddress"),
    "Binary": ("binary",),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is known of services. `actions`: prefix -> names; `complete`: there are no other services.

    `keys`: prefix -> condition key in small letters -> type. `regions`: () = any.
    """

    actions: Mapping[str, Collection[str]] = field(default_factory=dict)
    complete: bool = False
    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    regions: tuple[str, ...] = ()

    def type_of(self, key: str) -> str | None:
        """The type of a condition key; None if it is not known."""
        name = key.lower()
        service = name.partition(":")[0]
        known = GLOBAL_KEYS if service == "aws" else self.keys.get(service, {})
        return known.get(name) or known.get(name.partition("/")[0] + "/")
