"""Why a packet does not get through, and what would let it: for people, at the element that refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ringfence.model.kinds import (
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    VPC,
)
from ringfence.model.net import Address, host_network, protocol_name
from ringfence.model.nouns.instance import RUNNABLE
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.world import World
from ringfence.policy.compile.routing import named_by, route_table
from ringfence.policy.evaluate import INTERNET, Index, longest
from ringfence.policy.ir import Edge
from ringfence.policy.packet import Hop, Layer, Packet

#: what answers are sent to: no client chooses a port below (ACL-46)
EPHEMERAL = (1024, 65535)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An element that refuses a packet or its answer. `packet`: as it meets it; `rule`: the entry or route that says so."""

    layer: Layer
    component: tuple[str, ...]
    interface: str | None
    reply: bool
    packet: Packet
    rule: str | None = None


def refusal_of(world: World, index: Index, source: str, packet: Packet, hops: Sequence[Hop]) -> Refusal | None:
    """The first element that refuses; None when none does."""
    layers = [(hop.layer, hop.by.component, hop.reply) for hop in hops]
    for hop, packet_here in zip(hops, met(index, packet, source != INTERNET, layers), strict=True):
        if not hop.allowed:
            eni = world.find(NETWORK_INTERFACE, hop.interface)
            groups = eni.groups if eni is not None and hop.layer in (Layer.SG_EGRESS, Layer.SG_INGRESS) else ()
            return Refusal(hop.layer, groups or (hop.by.component,), hop.interface, hop.reply, packet_here, hop.by.rule)
    return None


def reason(world: World, refusal: Refusal) -> str:
    """One sentence."""
    return _REASONS[refusal.layer](world, refusal)


def remedy(world: World, refusal: Refusal) -> list[str]:
    """Commands, or what to do by hand; the first is the narrowest."""
    return _REMEDIES[refusal.layer](world, refusal)


def met(index: Index, packet: Packet, inside: bool, layers: Iterable[tuple[Layer, str, bool]]) -> Iterator[Packet]:
    """A packet, and its answer, as each element meets it: gateways exchange addresses (IGW-03..IGW-07).

    `inside`: it starts in a VPC. `layers`: (layer, component, is it the answer) in the order they are met.
    """
    answering = False
    for layer, component, reply in layers:
        if reply and not answering:
            answering, packet = True, packet.reply()
        yield packet
        edge = index.find(Edge, component) if layer is Layer.GATEWAY else None
        if edge is None:
            continue
        if inside:
            outward: dict[Address, Address] = {private: public for public, private in edge.nat}
            packet = replace(packet, src=outward.get(packet.src, packet.src))
        else:
            inward: dict[Address, Address] = dict(edge.nat)
            packet = replace(packet, dst=inward.get(packet.dst, packet.dst))
        inside = not inside


# ---------------------------------------------------------------------- words
def service(packet: Packet) -> str:
    """`tcp port 443`, `icmp type 8 code 0`, `protocol 47`."""
    name = protocol_name(packet.protocol)
    if packet.protocol in (6, 17):
        return f"{name} port {packet.dport}"
    if packet.protocol in (1, 58):
        return f"{name} type {packet.icmp_type} code {packet.icmp_code}"
    return f"protocol {name}"


def _what(refusal: Refusal) -> str:
    return f"{'the answer, ' if refusal.reply else ''}{service(refusal.packet)}"


def _egress(layer: Layer) -> bool:
    return layer in (Layer.SG_EGRESS, Layer.NACL_OUT)


def _remote(refusal: Refusal) -> Address:
    return refusal.packet.dst if _egress(refusal.layer) else refusal.packet.src


# ---------------------------------------------------------------------- security groups
def _no_rule(world: World, refusal: Refusal) -> str:
    groups, out = refusal.component, _egress(refusal.layer)
    rules = [r for id in groups for r in _rules(world, id) if r.egress is out]
    way = ("outbound", "to") if out else ("inbound", "from")
    which = f"no {way[0]} rule of {', '.join(groups) or 'its groups'}"
    if not rules:
        which = f"{', '.join(groups) or 'the interface'} has no {way[0]} rules at all, so nothing"
    return f"{which} allows {_what(refusal)} {way[1]} {_remote(refusal)}"


def _rules(world: World, id: str) -> tuple[SecurityGroupRule, ...]:
    group = world.find(SECURITY_GROUP, id)
    return () if group is None else group.rules


def _authorize(world: World, refusal: Refusal) -> list[str]:
    if not refusal.component:
        return ["give the interface a security group"]
    command = f"aws ec2 authorize-security-group-{'egress' if _egress(refusal.layer) else 'ingress'}"
    command += f" --group-id {refusal.component[0]} --ip-permissions "
    remote = _remote(refusal)
    block = host_network(remote)
    peer = f"IpRanges=[{{CidrIp={block}}}]" if remote.version == 4 else f"Ipv6Ranges=[{{CidrIpv6={block}}}]"
    found = [command + f"'{_permission(refusal.packet)},{peer}'"]
    other = _carrier(world, refusal, remote)
    if other is not None and other.groups:
        found.append(command + f"'{_permission(refusal.packet)},UserIdGroupPairs=[{{GroupId={other.groups[0]}}}]'")
    return found


def _permission(packet: Packet) -> str:
    name = protocol_name(packet.protocol)
    if packet.protocol in (6, 17):
        return f"IpProtocol={name},FromPort={packet.dport},ToPort={packet.dport}"
    if packet.protocol in (1, 58):
        return f"IpProtocol={name},FromPort={packet.icmp_type},ToPort={packet.icmp_code}"
    return f"IpProtocol={name}"


def _carrier(world: World, refusal: Refusal, address: Address) -> NetworkInterface | None:
    own = world.find(NETWORK_INTERFACE, refusal.interface)
    found = world.by(NETWORK_INTERFACE, "address", f"{own.vpc_id}/{address}") if own is not None else []
    return found[0] if found else None


# ---------------------------------------------------------------------- network ACLs
def _entry(world: World, refusal: Refusal) -> str:
    id = refusal.component[0]
    way = f"{'outbound' if _egress(refusal.layer) else 'inbound'}"
    where = "to" if _egress(refusal.layer) else "from"
    if refusal.rule in (None, "*"):
        return f"no {way} entry of {id} matches {_what(refusal)} {where} {_remote(refusal)}, and what matches none is denied"
    return f"{way} entry {refusal.rule} of {id} denies {_what(refusal)} {where} {_remote(refusal)}"


def _allow(world: World, refusal: Refusal) -> list[str]:
    id, out = refusal.component[0], _egress(refusal.layer)
    acl = world.find(NETWORK_ACL, id)
    taken = {e.number for e in acl.entries if e.egress is out} if acl is not None else set()
    limit = int(refusal.rule) if refusal.rule and refusal.rule.isdecimal() else (max(taken, default=90) + 11)
    number = next((n for n in range(limit - 1, 0, -1) if n not in taken), None)
    if number is None:
        return [f"renumber the entries of {id}: there is no free number before {limit}"]
    packet, remote = refusal.packet, _remote(refusal)
    command = f"aws ec2 create-network-acl-entry --network-acl-id {id} --{'egress' if out else 'ingress'}"
    command += f" --rule-number {number} --rule-action allow --protocol {packet.protocol}"
    if packet.protocol in (6, 17):
        first, last = EPHEMERAL if refusal.reply and packet.dport >= EPHEMERAL[0] else (packet.dport, packet.dport)
        command += f" --port-range From={first},To={last}"
    if packet.protocol in (1, 58):
        command += f" --icmp-type-code Type={packet.icmp_type},Code={packet.icmp_code}"
    return [command + f" --{'cidr-block' if remote.version == 4 else 'ipv6-cidr-block'} {host_network(remote)}"]


# ---------------------------------------------------------------------- routes
def _route(world: World, refusal: Refusal) -> str:
    id, destination = refusal.component[0], refusal.packet.dst
    table = world.find(ROUTE_TABLE, id)
    if table is None:
        where = {"internet": "no public address here is"}.get(id, f"in {id} no running interface has")
        return f"{where} {destination}"
    taken = longest(route_table(world, table).routes, destination)
    best = named_by(world, table, taken.destination) if taken is not None else None
    vpc = world.find(VPC, table.vpc_id)
    own = [a.block for a in (*vpc.ipv4, *vpc.ipv6)] if vpc is not None else []
    inside = any(b.version == destination.version and destination in b for b in own)
    if taken is not None and best is not None and best.target_id is not None:
        of_list = f" (an entry of {taken.list_id})" if taken.list_id is not None else ""
        where = f"the route {taken.destination}{of_list} of {id}"
        return f"{where} leads to {best.target_id}, which is gone, detached or does not run"
    if inside:
        return f"no running interface of {table.vpc_id} has the address {destination}"
    return f"no route of {id} leads to {destination}"


def _add_route(world: World, refusal: Refusal) -> list[str]:
    id, destination = refusal.component[0], refusal.packet.dst
    table = world.find(ROUTE_TABLE, id)
    if table is None:
        return ["send to an address that an interface has"]
    stopped = [e for e in world.by(NETWORK_INTERFACE, "address", f"{table.vpc_id}/{destination}") if _stopped(world, e)]
    if stopped:
        return [f"aws ec2 start-instances --instance-ids {e.attachment.instance_id}" for e in stopped if e.attachment]
    vpc = world.find(VPC, table.vpc_id)
    blocks = [a.block for a in (*vpc.ipv4, *vpc.ipv6)] if vpc is not None else []
    if any(b.version == destination.version and destination in b for b in blocks):
        return [f"give an interface the address {destination}, or send to one that an interface has"]
    gateways = world.by(INTERNET_GATEWAY, "vpc", table.vpc_id)
    anywhere = (
        "--destination-cidr-block 0.0.0.0/0" if destination.version == 4 else "--destination-ipv6-cidr-block ::/0"
    )
    if gateways:
        return [f"aws ec2 create-route --route-table-id {id} {anywhere} --gateway-id {gateways[0].id}"]
    return [f"attach an internet gateway to {table.vpc_id} and add a route {anywhere.split()[1]} to it in {id}"]


def _stopped(world: World, eni: NetworkInterface) -> bool:
    instance = world.find(INSTANCE, eni.attachment.instance_id) if eni.attachment else None
    return instance is not None and instance.state not in RUNNABLE


# ---------------------------------------------------------------------- the rest
def _source(world: World, refusal: Refusal) -> str:
    eni = world.find(NETWORK_INTERFACE, refusal.component[0])
    if eni is not None and _stopped(world, eni):
        return f"the instance of {eni.id} does not run"
    return f"{refusal.packet.src} is no address of {refusal.component[0]}, and its source/destination check is on"


def _destination(world: World, refusal: Refusal) -> str:
    return f"{refusal.packet.dst} is no address of {refusal.component[0]}, and its source/destination check is on"


def _uncheck(world: World, refusal: Refusal) -> list[str]:
    id = refusal.component[0]
    eni = world.find(NETWORK_INTERFACE, id)
    if eni is not None and eni.attachment is not None and _stopped(world, eni):
        return [f"aws ec2 start-instances --instance-ids {eni.attachment.instance_id}"]
    return [f"aws ec2 modify-network-interface-attribute --network-interface-id {id} --no-source-dest-check"]


def _exchange(world: World, refusal: Refusal) -> str:
    id, packet = refusal.component[0], refusal.packet
    detail = f" ({refusal.rule})" if refusal.rule else ""
    return f"{id} does not pass packets from {packet.src} to {packet.dst}{detail}"


def _publish(world: World, refusal: Refusal) -> list[str]:
    gateway = world.find(INTERNET_GATEWAY, refusal.component[0])
    for address in (refusal.packet.src, refusal.packet.dst):
        vpc_id = gateway.vpc_id if gateway is not None else None
        for eni in world.by(NETWORK_INTERFACE, "address", f"{vpc_id}/{address}"):
            where = f"--network-interface-id {eni.id} --private-ip-address {address}"
            return [f"aws ec2 associate-address --allocation-id eipalloc-… {where}"]
    return ["use public addresses on both sides of the gateway"]


def _served(_: World, refusal: Refusal) -> str:
    id, packet = refusal.component[0], refusal.packet
    if refusal.rule == "foreign source":
        return f"{id} hears the interfaces of its VPC only, and {packet.src} is none of their addresses"
    return f"the service behind {id} hears TCP on port 443 and pings, not {service(packet)} to {packet.dst}"


def _ask_service(_: World, refusal: Refusal) -> list[str]:
    return [f"ask {refusal.component[0]} for TCP port 443 from an interface of its VPC"]


_Say = Callable[[World, Refusal], str]
_Do = Callable[[World, Refusal], list[str]]
_REASONS: dict[Layer, _Say] = {
    Layer.SOURCE_CHECK: _source, Layer.DEST_CHECK: _destination, Layer.SG_EGRESS: _no_rule, Layer.SG_INGRESS: _no_rule,
    Layer.NACL_OUT: _entry, Layer.NACL_IN: _entry, Layer.NO_ROUTE: _route, Layer.GATEWAY: _exchange,
    Layer.ENDPOINT: _served,
}  # fmt: skip
_REMEDIES: dict[Layer, _Do] = {
    Layer.SOURCE_CHECK: _uncheck, Layer.DEST_CHECK: _uncheck, Layer.SG_EGRESS: _authorize, Layer.SG_INGRESS: _authorize,
    Layer.NACL_OUT: _allow, Layer.NACL_IN: _allow, Layer.NO_ROUTE: _add_route, Layer.GATEWAY: _publish,
    Layer.ENDPOINT: _ask_service,
}  # fmt: skip
