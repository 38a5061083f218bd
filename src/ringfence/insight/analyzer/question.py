"""What an analysis asks: which packets, from where, to where."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from ringfence.insight.reach.atoms import BASES, OTHER, Interval
from ringfence.model.kinds import INSTANCE, INTERNET_GATEWAY, NETWORK_INTERFACE, PEERING_CONNECTION, VPC_ENDPOINT
from ringfence.model.net import PORTED, Address, PortRange, Protocol
from ringfence.model.nouns.network_insights import NetworkInsightsPath, PathFilter
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.world import World

ALL_PORTS, ANYTHING = PortRange(0, 65535), PathFilter()
#: a request and its answer: the type that stands for ICMP when nothing more is asked
ECHO = {Protocol.ICMP: 8, Protocol.ICMPV6: 128}


class NoEnd(Exception):
    """An end of the path is not there, or nowhere; `code` is AWS's explanation code, `component` the id, `state` a bad one's."""

    def __init__(self, code: str, component: str, state: str | None = None) -> None:
        super().__init__(f"{code}: {component}")
        self.code, self.component, self.state = code, component, state


@dataclass(frozen=True, slots=True)
class End:
    """One end: interfaces (of an instance, the primary one first); or an internet gateway, a peering connection or a gateway
    endpoint, i.e. everything beyond it."""

    component: str
    interfaces: tuple[str, ...] = ()
    gateway: str | None = None
    peering: str | None = None
    endpoint: str | None = None

    @property
    def way(self) -> str | None:
        """What packets to or from what is beyond pass."""
        return self.gateway or self.peering or self.endpoint


@dataclass(frozen=True, slots=True)
class Question:
    """All packets of a protocol from one end to the other that fit the filters, and their answers.

    `destination` None: wherever the destination address leads. `destination_ip`: the address as the sender writes it, or as
    it is when the packet arrives. `unknown`: peering connections to VPCs into which the analysis may not look.
    """

    source: End
    destination: End | None
    protocol: int
    at_source: PathFilter = ANYTHING
    at_destination: PathFilter = ANYTHING
    destination_ip: Address | None = None
    unknown: frozenset[str] = frozenset()

    @property
    def services(self) -> dict[int, Interval | None]:
        """Family -> the points of the line of services that are asked about (`reach/atoms.py`); None when there are none."""
        if self.protocol in PORTED:
            ports = _both(self.at_source.destination_ports, self.at_destination.destination_ports)
            base = BASES[self.protocol]
            return dict.fromkeys((4, 6), None if ports is None else (base + ports.first, base + ports.last))
        if self.protocol in ECHO:  # each family has its own ICMP
            return {family: _echo(protocol) for family, protocol in ((4, Protocol.ICMP), (6, Protocol.ICMPV6))}
        return dict.fromkeys((4, 6), (OTHER + self.protocol, OTHER + self.protocol))

    @property
    def sources(self) -> Interval | None:
        """The same line's points of the source ports; None when there are none. Means nothing for what has no ports."""
        ports = _both(self.at_source.source_ports, self.at_destination.source_ports)
        base = BASES.get(self.protocol, 0)
        return None if ports is None else (base + ports.first, base + ports.last)

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions asked about: that of the addresses given, else both."""
        filters = (self.at_source, self.at_destination)
        given = [a for f in filters for a in (f.source_address, f.destination_address)] + [self.destination_ip]
        named = {address.version for address in given if address is not None}
        return tuple(sorted(named)) or (4, 6)

    def without(self, end: str, field: str) -> Question:
        """The question with one filter less; `end` is at_source or at_destination."""
        return replace(self, **{end: replace(getattr(self, end), **{field: None})})


def _echo(protocol: Protocol) -> Interval:
    at = BASES[protocol] + (ECHO[protocol] << 8)
    return at, at


def _both(one: PortRange | None, other: PortRange | None) -> PortRange | None:
    """What both ranges hold; None when nothing does."""
    a, b = one or ALL_PORTS, other or ALL_PORTS
    first, last = max(a.first, b.first), min(a.last, b.last)
    return PortRange(first, last) if first <= last else None


def question_of(world: World, path: NetworkInsightsPath, accounts: Collection[str]) -> Question:
    """The question of a path, in this World, by who may look into these accounts. NoEnd when an end has gone or leads nowhere."""
    at_destination, address = path.at_destination, None
    if not path.filtered_at_destination:
        address, at_destination = at_destination.destination_address, ANYTHING
    return Question(
        end_of(world, path.source_arn),
        end_of(world, path.destination_arn) if path.destination_arn else None,
        path.protocol, path.at_source, at_destination, address, _unknown(world, accounts),
    )  # fmt: skip


def _unknown(world: World, accounts: Collection[str]) -> frozenset[str]:
    """The active connections of which one VPC is in these accounts, and the other is not."""
    rows = (row for row in world.all(PEERING_CONNECTION) if row.status is PeeringStatus.ACTIVE)
    return frozenset(
        row.id for row in rows if len({row.requester.owner_id in accounts, row.accepter.owner_id in accounts}) == 2
    )


def end_of(world: World, arn: str) -> End:
    """The end that an ARN names. NoEnd."""
    noun, _, id = arn.rpartition(":")[2].partition("/")
    if noun == INTERNET_GATEWAY.noun:
        gateway = world.find(INTERNET_GATEWAY, id)
        if gateway is None:
            raise NoEnd("NO_SOURCE_OR_DESTINATION", id)
        if gateway.vpc_id is None:
            raise NoEnd("UNASSOCIATED_COMPONENT", id)
        return End(id, gateway=id)
    if noun == PEERING_CONNECTION.noun:
        return _connection(world, id)
    if noun == VPC_ENDPOINT.noun:
        if world.find(VPC_ENDPOINT, id) is None:
            raise NoEnd("NO_SOURCE_OR_DESTINATION", id)
        return End(id, endpoint=id)
    if noun == INSTANCE.noun:
        if world.find(INSTANCE, id) is None:
            raise NoEnd("NO_SOURCE_OR_DESTINATION", id)
        held = world.by(NETWORK_INTERFACE, "instance", id)
        if not held:  # a terminated instance is still described for a while
            raise NoEnd("UNASSOCIATED_COMPONENT", id)
        held.sort(key=lambda eni: eni.attachment.device_index if eni.attachment else 0)
        return End(id, tuple(eni.id for eni in held))
    if world.find(NETWORK_INTERFACE, id) is None:
        raise NoEnd("NO_SOURCE_OR_DESTINATION", id)
    return End(id, (id,))


def _connection(world: World, id: str) -> End:
    """A peering connection, over which packets pass while it is active (PCX-01)."""
    row = world.find(PEERING_CONNECTION, id)
    if row is None:
        raise NoEnd("NO_SOURCE_OR_DESTINATION", id)
    if row.status is not PeeringStatus.ACTIVE:
        raise NoEnd("BAD_STATE", id, row.status.value)
    return End(id, peering=id)
