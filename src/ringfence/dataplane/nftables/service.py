"""A gateway endpoint's namespace: its service is heard on TCP port 443 and answers pings; nothing else (VPE-06). Pure.

Nothing is forwarded and nobody else lives there. That only the VPC's interfaces are heard is for the routes: no answer
finds another way, and the kernel's source check (rp_filter) drops what no route leads back to.
"""

from __future__ import annotations

from ringfence.dataplane.nftables.fields import IIFNAME, META_L4PROTO, META_NFPROTO, OIFNAME, TH_DPORT, TH_SPORT
from ringfence.dataplane.nftables.objects import INET, Chain, Hook, Table
from ringfence.dataplane.nftables.terms import ACCEPT, DROP, Between, Is, Rule, goto
from ringfence.model.endpoints import PORT

_IPV4 = Is(META_NFPROTO, 2)
_REFUSE = goto("refuse-endpoint")
_PINGS, _ANSWERS = (8 << 8, 8 << 8 | 255), (0, 255)  # ICMP types and codes
_INPUT: tuple[Rule, ...] = (
    (Is(IIFNAME, "lo"), ACCEPT),
    (_IPV4, Is(META_L4PROTO, 6), Is(TH_DPORT, PORT), ACCEPT),
    (_IPV4, Is(META_L4PROTO, 1), Between(TH_SPORT, *_PINGS), ACCEPT),
    (_REFUSE,),
)
_OUTPUT: tuple[Rule, ...] = (
    (Is(OIFNAME, "lo"), ACCEPT),
    (_IPV4, Is(META_L4PROTO, 6), Is(TH_SPORT, PORT), ACCEPT),
    (_IPV4, Is(META_L4PROTO, 1), Between(TH_SPORT, *_ANSWERS), ACCEPT),
    (_REFUSE,),
)


def service_table() -> Table:
    """The table of every endpoint."""
    chains = (
        Chain("input", _INPUT, Hook("input", 0)),
        Chain("forward", ((_REFUSE,),), Hook("forward", 0)),
        Chain("output", _OUTPUT, Hook("output", 0)),
        Chain("refuse-endpoint", ((DROP,),)),
    )
    return Table(INET, chains={chain.name: chain for chain in chains})
