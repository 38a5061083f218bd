"""The internet gateway's namespace: stateless 1:1 address exchange (IGW-03..IGW-08, docs/adr/0003)."""

from __future__ import annotations

from ringfence.dataplane.nftables.objects import Chain, Object, Ruleset, Set
from ringfence.dataplane.plan import EDGE_INTERNET, EDGE_VPC
from ringfence.policy.ir import Edge

TABLE = "inet ringfence"
#: RFC 1918, RFC 6598, link-local and loopback: never on the far side of a gateway (IGW-08)
PRIVATE = "{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16, 127.0.0.0/8 }"

STATIC = f"""
add chain {TABLE} exchange {{ type filter hook prerouting priority -310; policy accept; }}
add chain {TABLE} through {{ type filter hook forward priority 0; policy drop; }}
add chain {TABLE} own {{ type filter hook input priority 0; policy drop; }}
flush chain {TABLE} exchange
flush chain {TABLE} through
flush chain {TABLE} own
add rule {TABLE} exchange notrack
add rule {TABLE} exchange iifname "{EDGE_VPC}" meta protocol ip jump leave
add rule {TABLE} exchange iifname "{EDGE_INTERNET}" meta protocol ip jump enter
add rule {TABLE} exchange meta protocol ip6 jump ipv6
add rule {TABLE} through iifname "{EDGE_VPC}" oifname "{EDGE_INTERNET}" accept
add rule {TABLE} through iifname "{EDGE_INTERNET}" oifname "{EDGE_VPC}" accept
add rule {TABLE} own icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
""".strip()


def render(edge: Edge) -> Ruleset:
    """The ruleset of an edge namespace."""
    out = frozenset(f"{private} : {public}" for public, private in edge.nat)
    back = frozenset(f"{public} : {private}" for public, private in edge.nat)
    blocks = "{ " + ", ".join(map(str, edge.ipv6)) + " }"
    ipv6 = ["icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"]
    if edge.ipv6:
        ipv6 += [
            f'iifname "{EDGE_VPC}" ip6 saddr {blocks} accept',
            f'iifname "{EDGE_INTERNET}" ip6 saddr {blocks} drop',
            f'iifname "{EDGE_INTERNET}" ip6 daddr {blocks} accept',
        ]
    objects: tuple[Object, ...] = (
        Set("public_of", "type ipv4_addr : ipv4_addr;", out, is_map=True),
        Set("private_of", "type ipv4_addr : ipv4_addr;", back, is_map=True),
        Set("privates", "type ipv4_addr;", frozenset(str(private) for _, private in edge.nat)),
        Set("publics", "type ipv4_addr;", frozenset(str(public) for public, _ in edge.nat)),
        Chain("leave", (
            f"ip daddr {PRIVATE} drop",
            "ip saddr != @privates drop",
            "ip saddr set ip saddr map @public_of",
        )),
        Chain("enter", (
            f"ip saddr {PRIVATE} drop",
            "ip daddr != @publics drop",
            "ip daddr set ip daddr map @private_of",
        )),
        Chain("ipv6", (*ipv6, "drop")),
    )  # fmt: skip
    return Ruleset(TABLE, STATIC, {item.name: item for item in objects})
