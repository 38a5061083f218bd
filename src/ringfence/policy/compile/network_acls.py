"""Network ACLs → ordered entries (ACL-29..ACL-45)."""

from __future__ import annotations

from ringfence.model.net import Protocol
from ringfence.model.nouns.network_acl import NetworkAcl, NetworkAclEntry
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Acl, AclEntry, Match


def acl(_: Rows, row: NetworkAcl) -> Acl:
    """Entries of both directions in ascending order; the final deny is implied (ACL-30)."""
    ordered = sorted(row.entries, key=lambda entry: entry.number)
    return Acl(
        acl_id=row.id,
        vpc_id=row.vpc_id,
        ingress=tuple(_entry(entry) for entry in ordered if not entry.egress),
        egress=tuple(_entry(entry) for entry in ordered if entry.egress),
    )


def _entry(entry: NetworkAclEntry) -> AclEntry:
    icmp_type = icmp_code = None
    if entry.icmp is not None and entry.icmp[0] != -1:
        icmp_type = entry.icmp[0]
        icmp_code = None if entry.icmp[1] == -1 else entry.icmp[1]
    match = Match(
        family=entry.cidr.version,
        remote=entry.cidr,
        protocol=None if entry.protocol == Protocol.ALL else entry.protocol,
        ports=entry.ports,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
    )
    return AclEntry(number=entry.number, match=match, allow=entry.allow)
