"""Why packets of a flow were refused: the counter says in which layer, the rules of the moment say by what (D-16).

Security groups have no rule that refuses: nothing in the interface's groups admits the packet. A network ACL has one, unless its
rules changed between the packets and the reading, or the answer hangs on an ICMP type that the counter does not tell.
"""

from __future__ import annotations

from ringfence.insight.flowlogs.records import Observation, Reject
from ringfence.policy.evaluate import Index, network_acl
from ringfence.policy.ir import Interface, Subnet
from ringfence.policy.packet import Layer, Packet

_ACLS = {Layer.NACL_IN: False, Layer.NACL_OUT: True}  # → is it the outbound side?
_GROUPS = frozenset({Layer.SG_INGRESS, Layer.SG_EGRESS})
_ICMP = frozenset({1, 58})


def explained(index: Index, seen: Observation) -> Reject | None:
    """The reason with component and rule, as far as the rules of now tell; None for what was accepted."""
    given = seen.reject
    if seen.accepted or given is None or given.component is not None:
        return given
    eni = index.find(Interface, seen.interface_id)
    if eni is None:
        return given
    if given.layer in _GROUPS:
        return Reject(layer=given.layer, component=",".join(eni.groups) or eni.eni_id)
    subnet = index.find(Subnet, eni.subnet_id)
    if given.layer in _ACLS and subnet is not None:
        return Reject(layer=given.layer, component=subnet.acl_id, rule=_entry(index, subnet.acl_id, seen))
    return Reject(layer=given.layer, component=eni.eni_id)


def _entry(index: Index, acl_id: str, seen: Observation) -> str | None:
    """The number of the entry that refuses it; `*` for the last one."""
    if seen.protocol in _ICMP and seen.icmp is None:
        return None
    source_port, port = seen.ports
    kind, code = seen.icmp or (0, 0)
    packet = Packet(
        src=seen.source, dst=seen.destination, protocol=seen.protocol, sport=source_port, dport=port, icmp_type=kind,
        icmp_code=code,
    )  # fmt: skip
    assert seen.reject is not None
    allowed, by = network_acl(index, acl_id, packet, egress=_ACLS[Layer(seen.reject.layer)])
    return None if allowed else by.rule
