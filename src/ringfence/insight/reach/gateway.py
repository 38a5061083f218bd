"""Internet gateways: addresses exchanged one to one, and what may not cross (IGW-03..IGW-08)."""

from __future__ import annotations

from ringfence.insight.reach.places import WIDTH, Gateway, inside, public


def leaving(gate: Gateway, family: int, src: int, dst: int) -> int | None:
    """The source address a packet leaves with; None: it does not."""
    source = gate.outward.get(src) if family == 4 else src if inside(gate.ipv6[6], 128, src) else None
    return source if public(family, dst) else None


def entering(gate: Gateway, family: int, src: int, dst: int, *, outside: bool) -> int | None:
    """The destination address a packet enters with; None: it does not.

    `outside`: from an outside host, which cannot have one of the gateway's own public addresses (IGW-08).
    """
    mine = outside and family == 4 and src in gate.inward
    if mine or not public(family, src) or inside(gate.inner[family], WIDTH[family], src):
        return None
    return gate.inward.get(dst, dst) if family == 4 else dst
