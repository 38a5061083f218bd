"""`ringfence trace`: can this packet go there and its answer come back, and which rule decided?"""

from __future__ import annotations

import itertools
import threading
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ringfence.insight.reach.doubt import doubtful
from ringfence.insight.reach.engine import Engine, Unknown
from ringfence.insight.reach.explain import Refusal, met, reason, refusal_of, remedy
from ringfence.insight.reach.journey import Step
from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.kinds import (
    ELASTIC_IP,
    INSTANCE,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
)
from ringfence.model.net import Address, parse_network, parse_protocol, protocol_name
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.routing import ListRoute
from ringfence.model.world import World
from ringfence.policy.compile import Compiler, compile_world
from ringfence.policy.compile.edge import public_addresses
from ringfence.policy.compile.routing import named_by
from ringfence.policy.evaluate import INTERNET, CannotSend, Index, exchange, network_acl, within
from ringfence.policy.ir import Ir
from ringfence.policy.packet import Hop, Layer, Packet, Verdict


class TargetError(Exception):
    """A source or destination that does not exist, or cannot send."""


def resolve(world: World, target: str) -> NetworkInterface | Address:
    """`i-…` (its primary interface), `eni-…`, `internet:ADDRESS` or an address. TargetError otherwise."""
    if target.startswith("internet:"):
        return _address(target.removeprefix("internet:"))
    if target.startswith("eni-"):
        eni = world.find(NETWORK_INTERFACE, target)
        if eni is None:
            raise TargetError(f"there is no network interface {target}")
        return eni
    if target.startswith("i-"):
        if world.find(INSTANCE, target) is None:
            raise TargetError(f"there is no instance {target}")
        found = world.by(NETWORK_INTERFACE, "instance", target)
        if not found:
            raise TargetError(f"the instance {target} has no network interface")
        return min(found, key=lambda eni: eni.attachment.device_index if eni.attachment else 0)
    return _address(target)


def _address(text: str) -> Address:
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        raise TargetError(f"{text!r} is neither i-…, eni-…, internet:ADDRESS nor an address") from None


def endpoints(world: World, request: dict[str, Any]) -> tuple[str, Address, Address, str | None]:
    """(source endpoint, source address, destination address, destination interface if one was named)."""
    source, destination = resolve(world, request["source"]), resolve(world, request["destination"])
    ipv6 = bool(request.get("ipv6")) or isinstance(source, IPv6Address) or isinstance(destination, IPv6Address)
    outside = not isinstance(source, NetworkInterface)
    if outside and not str(request["source"]).startswith("internet:"):
        raise TargetError("a source is i-…, eni-… or internet:ADDRESS")
    target = (
        destination
        if not isinstance(destination, NetworkInterface)
        else _reachable_at(world, destination, ipv6, outside)
    )
    if isinstance(source, NetworkInterface):
        own: tuple[Address, ...] = source.ipv6 if ipv6 else source.addresses
        if not own:
            raise TargetError(f"{source.id} has no IPv6 address")
        sender: Address = own[0]
    else:
        sender = source
        _outside(world, sender)
    if sender.version != target.version:
        raise TargetError(f"{sender} and {target} are of different IP versions")
    named = destination.id if isinstance(destination, NetworkInterface) else None
    return (INTERNET if outside else source.id), sender, target, named  # type: ignore[union-attr]


def _outside(world: World, address: Address) -> None:
    """TargetError for an outside host that would have an address of ours."""
    held = [row.network_interface_id for row in world.by(ELASTIC_IP, "public", str(address))]
    held += [eni.id for eni in world.by(NETWORK_INTERFACE, "public", str(address))]
    if held:
        raise TargetError(f"{address} is not an outside host: it is a public address of this installation")


def _reachable_at(world: World, eni: NetworkInterface, ipv6: bool, outside: bool) -> Address:
    """The address a source would use: private inside, public from outside.

    From outside, an interface without a public address is asked for at its private one: there is no route to it.
    """
    if ipv6:
        if not eni.ipv6:
            raise TargetError(f"{eni.id} has no IPv6 address")
        return eni.ipv6[0]
    public = public_addresses(world, eni) if outside else ()
    return public[0][0] if public else eni.addresses[0]


def packet_of(request: dict[str, Any], sender: Address, target: Address) -> Packet:
    """The packet a request describes; ICMP is an echo request unless it says otherwise."""
    protocol = parse_protocol(str(request.get("protocol") or "tcp"))
    if protocol == 1 and target.version == 6:
        protocol = 58
    echo = 128 if protocol == 58 else 8
    icmp_type = request.get("icmp_type")
    return Packet(
        src=sender,
        dst=target,
        protocol=protocol,
        sport=int(request.get("source_port") or 40000) if protocol in (6, 17) else 0,
        dport=int(request.get("port") or 0) if protocol in (6, 17) else 0,
        icmp_type=(echo if icmp_type is None else int(icmp_type)) if protocol in (1, 58) else 0,
        icmp_code=int(request.get("icmp_code") or 0) if protocol in (1, 58) else 0,
    )


def trace_request(world: World, request: dict[str, Any], ir: Ir | None = None) -> dict[str, Any]:
    """The answer to a trace request: outcome, where it is dropped, by which rule, and every hop.

    `ir`: the World's, if it is at hand. What makes no sense is answered with `error` and `status` 2.
    """
    try:
        source, sender, target, _ = endpoints(world, request)
        packet = packet_of(request, sender, target)
        ir = ir or compile_world(world)
        engine = Engine(ir) if doubtful(ir) else None
        unknown = engine.ask(source, packet) if engine is not None else None
        if isinstance(unknown, Unknown):
            return _not_known(world, ir, source, packet, unknown)
        done = exchange(ir, packet, source)
    except (TargetError, CannotSend, ValueError) as problem:
        return {"error": str(problem), "status": 2}
    out = answer(world, done.verdict, _met(ir, source, packet, done.verdict.hops))
    out |= {"packet": describe_packet(packet), "delivered_to": done.there.at}
    if not done.verdict.allowed:
        out |= _why_not(world, engine or Engine(ir), source, packet, done.verdict)
    if done.there.through:
        out["through"] = list(done.there.through)  # appliances, taken to pass packets on unchanged
    return out


def _met(ir: Ir, source: str, packet: Packet, hops: tuple[Hop, ...]) -> list[Packet]:
    """The packet as it meets each hop."""
    layers = [(hop.layer, hop.by.component, hop.reply) for hop in hops]
    return list(met(Index.of(ir), packet, source != INTERNET, layers))


def _not_known(world: World, ir: Ir, source: str, packet: Packet, unknown: Unknown) -> dict[str, Any]:
    """As far as the packet is known to come."""
    try:
        hops = exchange(ir, packet, source).verdict.hops
    except KeyError:  # an element that the network lacks
        hops = ()
    come = tuple(itertools.takewhile(lambda hop: hop.allowed, hops))
    here = _met(ir, source, packet, come)
    return {
        "outcome": "unknown",
        "unknown": {"component": unknown.component, "why": unknown.why},
        "hops": [hop_view(world, hop, at) for hop, at in zip(come, here, strict=True)],
        "packet": describe_packet(packet),
    }


def _why_not(world: World, engine: Engine, source: str, packet: Packet, verdict: Verdict) -> dict[str, Any]:
    """The reason at the element that refuses first, what would let the packet through, and what else refuses it."""
    index = Index.of(engine.ir)
    first = refusal_of(world, index, source, packet, verdict.hops)
    if first is None:
        return {}
    out: dict[str, Any] = {"reason": reason(world, first), "fix": remedy(world, first)}
    answer = engine.conversations(source, packet.src, packet.dst)
    layers = [(step.layer, step.component[0] if step.component else "", step.reply) for step in answer.steps]
    here = list(met(index, packet, source != INTERNET, layers))
    blocking = set(map(id, answer.blocking(packet)))
    also = [
        _also(world, index, step, packet_here)
        for step, packet_here in zip(answer.steps, here, strict=True)
        if id(step) in blocking
        and (step.layer, step.reply, step.interface) != (first.layer, first.reply, first.interface)
    ]
    return out | ({"also_blocking": also} if also else {})


def _also(world: World, index: Index, step: Step, packet: Packet) -> dict[str, Any]:
    rule = None
    if step.layer in (Layer.NACL_OUT, Layer.NACL_IN):
        rule = network_acl(index, step.component[0], packet, egress=step.layer is Layer.NACL_OUT)[1].rule
    refusal = Refusal(step.layer, step.component, step.interface, step.reply, packet, rule)
    layer = ("reply-" if step.reply else "") + step.layer.value
    component = step.component[0] if step.component else step.interface
    return {"layer": layer, "component": component, "reason": reason(world, refusal), "fix": remedy(world, refusal)}


class Tracer:
    """Answers one trace request after another; compiles only what changed in between."""

    def __init__(self) -> None:
        self._compiler, self._lock = Compiler(), threading.Lock()

    def answer(self, world: World, request: dict[str, Any]) -> dict[str, Any]:
        """See `trace_request`."""
        with self._lock:
            ir = self._compiler.compile(world)
        return trace_request(world, request, ir)


def describe_packet(packet: Packet) -> dict[str, Any]:
    """The packet, for people."""
    out: dict[str, Any] = {
        "source": str(packet.src),
        "destination": str(packet.dst),
        "protocol": protocol_name(packet.protocol),
    }
    if packet.protocol in (6, 17):
        out |= {"source_port": packet.sport, "port": packet.dport}
    if packet.protocol in (1, 58):
        out |= {"icmp_type": packet.icmp_type, "icmp_code": packet.icmp_code}
    return out


def answer(world: World, verdict: Verdict, here: list[Packet]) -> dict[str, Any]:
    """A verdict as `ringfence trace --json` shows it. `here`: the packet as it meets each hop."""
    met_at = list(zip(verdict.hops, here, strict=True))
    deciding = next((each for each in met_at if not each[0].allowed), None)
    if deciding is None:  # the last group that let it in is what decided
        gates = [each for each in met_at if each[0].layer in ("sg-ingress", "sg-egress") and not each[0].reply]
        deciding = gates[-1] if gates else None
    out: dict[str, Any] = {"outcome": "ok" if verdict.allowed else "dropped"}
    if verdict.dropped_at is not None:
        out["dropped_at"] = verdict.dropped_at
    if deciding is not None:
        out |= {"component": deciding[0].by.component, "rule": rule_view(world, *deciding)}
    return out | {"hops": [hop_view(world, hop, packet) for hop, packet in met_at]}


def hop_view(world: World, hop: Hop, packet: Packet) -> dict[str, Any]:
    """An element's decision about a packet as it meets it, with the rule in full."""
    out: dict[str, Any] = {
        "layer": ("reply-" if hop.reply else "") + hop.layer.value,
        "allowed": hop.allowed,
        "component": hop.by.component,
        "rule": rule_view(world, hop, packet),
    }
    if hop.interface is not None:
        out["interface"] = hop.interface
    if hop.tracked is not None:
        out["tracked"] = hop.tracked
    return out


def rule_view(world: World, hop: Hop, packet: Packet) -> dict[str, Any]:
    """The rule that decided about the packet, in full."""
    views = {
        Layer.SG_EGRESS: _group_rule, Layer.SG_INGRESS: _group_rule, Layer.NACL_OUT: _acl_entry,
        Layer.NACL_IN: _acl_entry, Layer.NO_ROUTE: _route,
    }  # fmt: skip
    view = views.get(hop.layer)
    return view(world, hop, packet) if view else {"id": hop.by.rule or hop.layer.value}


def _group_rule(world: World, hop: Hop, packet: Packet) -> dict[str, Any]:
    group = world.find(SECURITY_GROUP, hop.by.component)
    rule = next((r for r in group.rules if r.id == hop.by.rule), None) if group else None
    if rule is not None:
        peer = rule.cidr or rule.prefix_list_id or (rule.group and rule.group.group_id)
        out = {"id": rule.id, "direction": "egress" if rule.egress else "ingress",
               "protocol": protocol_name(rule.protocol), "from_port": rule.from_port, "to_port": rule.to_port,
               "peer": str(peer)}  # fmt: skip
        return out | _entry(world, rule.prefix_list_id, packet.dst if rule.egress else packet.src)
    if hop.by.rule is not None:
        return {"id": hop.by.rule}  # tracked, related
    eni = world.find(NETWORK_INTERFACE, hop.interface)
    return {"id": None, "direction": hop.layer.value.removeprefix("sg-"), "action": "deny",
            "reason": "no rule allows it", "groups": list(eni.groups) if eni else []}  # fmt: skip


def _entry(world: World, list_id: str | None, address: Address) -> dict[str, Any]:
    """The entry of a prefix list that holds the address: the narrowest."""
    held = find_list(world, list_id) if list_id is not None else None
    blocks = [entry.cidr for entry in held.entries if within(address, (entry.cidr,))] if held is not None else []
    return {"entry": str(max(blocks, key=lambda block: block.prefixlen))} if blocks else {}


def _acl_entry(world: World, hop: Hop, _packet: Packet) -> dict[str, Any]:
    egress = hop.layer is Layer.NACL_OUT
    acl = world.find(NETWORK_ACL, hop.by.component)
    entries = acl.entries if acl else ()
    entry = next((e for e in entries if str(e.number) == hop.by.rule and e.egress is egress), None)
    if entry is None:
        return {"number": hop.by.rule, "egress": egress, "action": "deny"}
    out: dict[str, Any] = {"number": entry.number, "egress": egress, "action": "allow" if entry.allow else "deny",
                           "protocol": str(entry.protocol), "cidr": str(entry.cidr)}  # fmt: skip
    if entry.ports is not None:
        out |= {"from_port": entry.ports.first, "to_port": entry.ports.last}
    if entry.icmp is not None:
        out |= {"icmp_type": entry.icmp[0], "icmp_code": entry.icmp[1]}
    return out


def _route(world: World, hop: Hop, _packet: Packet) -> dict[str, Any]:
    """`destination` None: no route fits. `state` as DescribeRouteTables would say. `prefix_list`: whose entry the destination is."""
    table = world.find(ROUTE_TABLE, hop.by.component)
    block = parse_network(hop.by.rule) if hop.by.rule is not None and "/" in hop.by.rule else None
    route = named_by(world, table, block) if table is not None and block is not None else None
    out: dict[str, Any] = {"destination": hop.by.rule}
    if isinstance(route, ListRoute):
        out["prefix_list"] = route.prefix_list_id
    if route is not None:
        out |= {"target": route.target_id or route.target.value, "state": "active" if hop.allowed else "blackhole"}
    return out
