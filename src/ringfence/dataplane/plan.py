"""Names and numbers of the data plane: namespaces, interfaces, marks and tables. One place, so that all agree.

A packet mark (32 bits, never leaves its namespace):
  bits 0-15  number of the route table to use; 0 = the VPC's own addresses only
  bit 16     the source address is one of the sending interface's own (group references match only then: D-05, SG-68)
  bit 17     sender and destination address are in one subnet: no network ACL, no route table (ACL-32)
  bit 18     pass 1: on the way from an interface into the loop
  bit 19     no route of that table leads an address of the VPC anywhere but to its owner
  bit 20     a flow log of the interface that this pass belongs to asks for packets that pass
  bit 21     pass 2: the destination's owner is known, so no other table has a say but the one that leads to it
  bit 22     a flow log of the interface that this pass belongs to asks for packets that are refused
"""

from __future__ import annotations

TABLE_BITS = 0xFFFF
OWN_SOURCE, SAME_SUBNET, PASS_ONE, PLAIN_TABLE, COUNTS_PASSED, OWNED, COUNTS_REFUSED = (
    1 << bit for bit in range(16, 23)
)
COUNTED = COUNTS_PASSED | COUNTS_REFUSED

LOOP_OUT, LOOP_IN = "l0", "l1"  # the veth pair every packet crosses between its two passes
GATEWAY = "g0"  # VPC namespace → edge namespace
PEER, RELAYED = (
    "p",
    "q",
)  # begin the names of links to peer VPCs: what interfaces send themselves, what appliances pass on
EDGE_VPC, EDGE_INTERNET = "v0", "i0"  # edge namespace → VPC, → internet
ENDPOINTS = "s"  # VPC namespace → a gateway endpoint's; with the end of its id
SERVICE = "c0"  # a gateway endpoint's namespace → VPC
LOOP_TABLE, TABLE_BASE = 900, 1000
INTERNET_NS = "inet"


def suffix(id: str) -> str:
    """The part of a resource id that names its namespace."""
    return id[-10:]


def vpc_ns(vpc_id: str) -> str:
    return f"vpc-{suffix(vpc_id)}"


def edge_ns(gateway_id: str) -> str:
    return f"edge-{suffix(gateway_id)}"


def endpoint_ns(endpoint_id: str) -> str:
    """The namespace of a gateway endpoint, where its service listens."""
    return f"svc-{suffix(endpoint_id)}"


def endpoint_link(endpoint_id: str) -> str:
    """The VPC's end of a gateway endpoint."""
    return f"{ENDPOINTS}{suffix(endpoint_id)}"


def eni_ns(eni_id: str) -> str:
    """The namespace of an unattached interface."""
    return f"eni-{suffix(eni_id)}"


def guest_ns(instance_id: str) -> str:
    return f"i-{suffix(instance_id)}"


def link(number: int) -> str:
    """The router's end of an interface."""
    return f"e{number}"


def peer_links(peering_id: str) -> tuple[str, str]:
    """The two links of a peering connection, of the same names in both VPCs. Marks do not pass between namespaces, so the
    link tells the far VPC whether the packet comes straight from who has its source (D-05)."""
    return PEER + suffix(peering_id), RELAYED + suffix(peering_id)


_GROUPS = {LOOP_OUT: 1 << 16 | 1, LOOP_IN: 1 << 16 | 2, GATEWAY: 1 << 16 | 3, PEER: 1 << 16 | 4, ENDPOINTS: 1 << 16 | 5}


def link_group(name: str) -> int:
    """Each link of a VPC's namespace is in a group of its own, an interface's in that of its number: what rules know a link
    by, as a number is compared and hashed sooner than a name. 0, a link's group from birth, is nobody's."""
    if name[:1] in (PEER, RELAYED):  # one for all of them; where it matters which, rules ask for the name
        return _GROUPS[PEER]
    if name.startswith(ENDPOINTS):  # likewise: each packet leaves by the one that its route names
        return _GROUPS[ENDPOINTS]
    number = name.removeprefix("e")
    return _GROUPS.get(name) or (int(number) if number.isdigit() else 0)


def kernel_table(number: int) -> int:
    return TABLE_BASE + number


#: added to a route table's number: its routes for what appliances pass on
RELAY = 1 << 17
RELAY_RULE = 800  # preference of the policy rules that lead there


def policy_rule(number: int) -> tuple[int, int, int]:
    """(preference, mark, mask) of the rule that leads to a kernel table."""
    if number < RELAY:
        return kernel_table(number), number, TABLE_BITS
    return RELAY_RULE, number - RELAY, TABLE_BITS | OWN_SOURCE
