"""Random neighbouring VPCs, made of rows alone: prefix lists, peering connections and gateway endpoints between them.

`generator` makes what a user can make by the operations. Here is also what only time or an import makes: references whose
connection or group is gone, routes to a connection that is not active, two peers with the same block. The vocabulary is
small on purpose: blocks, lists and routes meet each other often, at their edges too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Any

from ringfence.model.kinds import NETWORK_INTERFACE, PEERING_CONNECTION, ROUTE_TABLE, VPC_ENDPOINT
from ringfence.model.net import Address, parse_address
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.network_acl import NetworkAcl
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.nouns.prefix_list import PrefixList
from ringfence.model.nouns.routing import ListRoute, Route, RouteTable
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule
from ringfence.model.row import Row
from ringfence.model.world import World
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.builders import (
    ACCOUNT,
    ANY,
    ANY6,
    OTHER_ACCOUNT,
    OTHER_REGION,
    REGION,
    acl,
    changed,
    egress,
    elastic_ip,
    elsewhere,
    entry,
    gateway,
    gateway_endpoint,
    group,
    host,
    ident,
    ingress,
    list_route,
    peer_group,
    peering,
    prefix_list,
    route,
    subnet,
    table,
    vpc,
    without,
    world,
)

V6 = "fd52:4946:0:"
S3_BLOCKS = ("52.216.0.0/15", "54.231.0.0/25")
S3 = ("52.216.0.0", "52.216.0.9", "52.217.255.255", "54.231.0.127", "54.231.0.128", "52.218.0.1")
OUTSIDE = ("203.0.113.9", "198.51.100.7", "2001:db8:f::9")
BLOCKS4 = (
    ANY, "10.0.0.0/8", "10.0.0.0/15", "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/24", "10.1.1.0/24", "10.2.0.0/28",
    "10.0.0.10/32", "10.1.0.10/31", "10.9.0.0/24", "203.0.113.0/24", "203.0.113.8/31", *S3_BLOCKS, "52.216.0.0/24", "52.0.0.0/8",
)  # fmt: skip
BLOCKS6 = (ANY6, "fd52:4946::/32", f"{V6}100::/56", f"{V6}000::/64", f"{V6}200::10/128", "2001:db8:f::/48")
LISTS = ("l0", "l1", "l2", "l3", "l4")
WIDE = LISTS[0]
PORTS = (443, 443, 443, 80, 22, 53, 1024)
RANGES = ((443, 443), (80, 80), (0, 65535), (0, 65535), (1024, 65535), (22, 80))
STATES = tuple(PeeringStatus)


def six(name: str, rest: str) -> str:
    """In a VPC's IPv6 block, which no two have in common."""
    return f"{V6}{'abc'.index(name)}{rest}"


@dataclass
class Scene:
    """Two or three VPCs `a`, `b` and `c`. `numbers`: the second byte of each VPC's block; `places`: account and Region."""

    chance: random.Random
    numbers: dict[str, int]
    places: dict[str, tuple[str, str]]
    pairs: dict[str, tuple[str, str]] = field(default_factory=dict)  # of the peering connections, by name
    with_gateway: list[str] = field(default_factory=list)
    with_endpoint: dict[str, tuple[str, ...]] = field(default_factory=dict)  # VPC -> tables
    world: World = field(default_factory=World)

    # ------------------------------------------------------------------ making
    def there(self, name: str, *rows: Any) -> tuple[Row, ...]:
        owner, region = self.places[name]
        return elsewhere(*rows, owner=owner, region=region)

    def maybe(self, chance: float) -> bool:
        return self.chance.random() < chance

    def prefixes(self, name: str) -> PrefixList:
        """Of one family, often with blocks that hold each other, sometimes empty; the first is everyone, and some more."""
        blocks = BLOCKS4 if name == WIDE or self.maybe(0.7) else BLOCKS6
        some = self.chance.sample(blocks, self.chance.choice((0, 1, 1, 2, 3, 4)))
        return prefix_list(name, *dict.fromkeys([ANY, *some] if name == WIDE else some))

    def rule(self, name: str, number: int, *, out: bool) -> SecurityGroupRule:
        """A rule of a group of VPC `name`."""
        protocol = self.chance.choice(("-1", "-1", "tcp", "tcp", "udp", "icmp", "icmpv6", "47"))
        peers: list[Any] = [self.chance.choice(BLOCKS4), self.chance.choice((*BLOCKS4, *BLOCKS6, ANY)), f"{name}g0"]
        peers += [ident("pl", self.chance.choice((*LISTS, WIDE, "s3"))) for _ in range(2)]
        peers += [self.reference(name)] * 3
        made = egress if out else ingress
        icmp = self.chance.choice(((-1, -1), (8, -1), (8, 0), (128, 0)))
        return made(self.chance.choice(peers), protocol, self.chance.choice(RANGES), icmp=icmp, id=f"{number}{out}")

    def reference(self, name: str) -> Any:
        """A group of another VPC, peered or not, sometimes one that is gone; some were named under an earlier connection."""
        other = self.chance.choice([n for n in self.numbers if n != name])
        over = next((pcx for pcx, pair in self.pairs.items() if set(pair) == {name, other}), "gone")
        over = "earlier" if self.maybe(0.25) else over
        which = "gone" if self.maybe(0.05) else f"{other}g{self.chance.randrange(2)}"
        return peer_group(which, vpc=other, over=over, owner=self.places[other][0])

    def group(self, name: str, number: int) -> SecurityGroup:
        rules = [self.rule(name, n, out=False) for n in range(self.chance.randrange(1, 5))]
        if self.maybe(0.35):
            rules += [ingress(block, id=block) for block in ("10.0.0.0/8", "0.0.0.0/1", "fd52:4946::/32")]
        if self.maybe(0.7):
            rules += [
                egress(block, id=block)
                for block in ((ANY, ANY6) if self.maybe(0.6) else ("0.0.0.0/1", "fd52:4946::/32"))
            ]
        else:
            rules += [self.rule(name, n, out=True) for n in range(self.chance.randrange(1, 4))]
        (made,) = self.there(name, group(f"{name}g{number}", *rules, vpc=name))
        assert isinstance(made, SecurityGroup)
        return made

    def acl(self, name: str) -> NetworkAcl:
        """Its VPC's default one: open, or with a few entries before what is open."""
        entries = [entry(200 + n, block, egress=out) for n, block in enumerate((ANY, ANY6)) for out in (False, True)]
        if self.maybe(0.4):
            entries = entries if self.maybe(0.8) else entries[: self.chance.randrange(4)]
            for number in range(self.chance.randrange(1, 4)):
                block = self.chance.choice((*BLOCKS4, *BLOCKS6, *S3_BLOCKS))
                way, allow = self.maybe(0.5), self.maybe(0.4)
                protocol = self.chance.choice(("tcp", "tcp", "udp", "-1"))
                ports = self.chance.choice(RANGES)
                entries.append(entry(10 + number, block, protocol, ports, allow=allow, egress=way))
        (made,) = self.there(name, acl(name, *entries, vpc=name))
        assert isinstance(made, NetworkAcl)
        return made

    def targets(self, name: str) -> list[str]:
        """What a route of a VPC may lead to: of a peering connection also that of others, whose routes it was asked of once."""
        out = [
            ident("eni", f"{name}2"),
            ident("eni", "gone"),
            ident("igw", name if name in self.with_gateway else "gone"),
        ]
        out += [ident("pcx", pcx) for pcx, pair in self.pairs.items() if name in pair] * 2
        return out

    def table(self, name: str, called: str) -> RouteTable:
        """A table of a VPC: to its peers, to the internet, to the endpoint, and somewhere else."""
        number = self.numbers[name]
        own = IPv4Network(f"10.{number}.0.0/16")
        routes: dict[str, Route] = {}
        listed: dict[str, ListRoute] = {}
        for pcx, pair in self.pairs.items():
            if name in pair and self.maybe(0.85):
                away = pair[0] if pair[1] == name else pair[1]
                far = self.numbers[away]
                for block in (f"10.{far}.0.0/{self.chance.choice((16, 16, 16, 24, 28))}", six(away, "00::/56")):
                    routes.setdefault(block, route(block, ident("pcx", pcx)))
        if name in self.with_gateway:
            routes |= {block: route(block, ident("igw", name)) for block in (ANY, ANY6) if self.maybe(0.6)}
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            block = self.chance.choice(BLOCKS4)
            if not IPv4Network(block).subnet_of(own):  # RT-08
                routes[block] = route(block, self.chance.choice(self.targets(name)))
        if self.maybe(0.15):  # RT-08: a whole subnet, through the appliance
            routes[f"10.{number}.0.0/24"] = route(f"10.{number}.0.0/24", ident("eni", f"{name}2"))
        for which in self.chance.sample(LISTS, self.chance.choice((0, 1, 1, 2))):
            listed[which] = list_route(which, self.chance.choice(self.targets(name)))
        if called in self.with_endpoint.get(name, ()):
            listed["s3"] = list_route("s3", ident("vpce", name))
        subnets = [] if called == name else [f"{name}0"]
        (made,) = self.there(name, table(called, *routes.values(), *listed.values(), subnets=subnets, vpc=name))
        assert isinstance(made, RouteTable)
        return made

    def vpc(self, name: str) -> Iterable[Row]:
        """Two subnets, one of them sometimes in a second block, and three instances; the last may be an appliance."""
        number, second = self.numbers[name], self.maybe(0.3)
        other = f"10.{number + 8}.0" if second else f"10.{number}.1"
        groups = [f"{name}g{n}" for n in range(2)]
        rows: list[Any] = [
            vpc(name, f"10.{number}.0.0/16", ipv6=[six(name, "00::/56")],
                secondary=[f"10.{number + 8}.0.0/20"] if second else []),
            subnet(f"{name}0", f"10.{number}.0.0/24", vpc=name, ipv6=[six(name, "00::/64")]),
            subnet(f"{name}1", f"{other}.0/24", vpc=name, ipv6=[six(name, "01::/64")]),
            self.acl(name), [self.group(name, n) for n in range(2)], self.table(name, name), self.table(name, f"{name}t"),
        ]  # fmt: skip
        for n in range(3):
            place = f"{other}" if n == 1 else f"10.{number}.0"
            rows.append(host(
                f"{name}{n}", f"{place}.1{n}", subnet=f"{name}{n % 2}", vpc=name, number=n + 1, ipv6=[six(name, f"0{n % 2}::1{n}")],
                groups=self.chance.sample(groups, self.chance.choice((1, 1, 2))), check=n != 2 or self.maybe(0.3),
                state=InstanceState.STOPPED if self.maybe(0.04) else InstanceState.RUNNING,
            ))  # fmt: skip
            if name in self.with_gateway and self.maybe(0.5):
                rows.append(elastic_ip(f"198.18.{ord(name)}.1{n}", f"{name}{n}", f"{place}.1{n}"))
        if name in self.with_gateway:
            rows.append(gateway(name, vpc=name))
        if name in self.with_endpoint:
            rows.append(gateway_endpoint(name, "s3", self.with_endpoint[name], vpc=name))
        return self.there(name, *rows)

    def connection(self, name: str, status: PeeringStatus | None = None) -> Row:
        one, other = self.pairs[name]
        (owner, region), (peer_owner, peer_region) = self.places[one], self.places[other]
        state = status or (PeeringStatus.ACTIVE if self.maybe(0.85) else self.chance.choice(STATES))
        return peering(name, one, other, state, owners=(owner, peer_owner), regions=(region, peer_region))

    # ------------------------------------------------------------------ asking
    @property
    def addresses(self) -> list[Address]:
        """Of interfaces, private and public; of nobody, of routers and resolvers; of the service and the outside."""
        out: list[Any] = [*OUTSIDE, "10.0.0.99", "10.1.0.1", "10.1.0.2", f"{V6}100::99"]
        for eni in self.world.all(NETWORK_INTERFACE):
            out += [*eni.addresses, *eni.ipv6]
        out += [f"198.18.{ord(name)}.1{n}" for name in self.with_gateway for n in range(2)]
        return [parse_address(str(address)) for address in out]

    def near(self, sender: NetworkInterface) -> list[Address]:
        """What a sender is likely to reach: its peers and its own VPC, and the service if there is an endpoint."""
        joined = [pair for pair in self.pairs.values() if sender.vpc_id in {ident("vpc", name) for name in pair}]
        vpcs = [ident("vpc", name) for name in sorted({name for pair in joined for name in pair})] or [sender.vpc_id]
        enis = [eni for id in vpcs for eni in self.world.by(NETWORK_INTERFACE, "vpc", id) if eni.id != sender.id]
        out: list[Address] = [address for eni in enis for address in (*eni.addresses, *eni.ipv6)]
        return out + [parse_address(a) for a in S3] if self.world.by(VPC_ENDPOINT, "vpc", sender.vpc_id) else out

    def packet(self) -> tuple[str, Packet]:
        """A packet and who sends it; appliances send what is not theirs more often."""
        chance = self.chance
        running = [eni for eni in self.world.all(NETWORK_INTERFACE) if spec.runs(self.world, eni)]
        sender = chance.choice([*running, None] if self.with_gateway else running)
        everyone = self.addresses
        own: Sequence[Any] = (
            [parse_address(a) for a in OUTSIDE] if sender is None else (sender.addresses[0], *sender.ipv6[:1])
        )
        strange = 0.35 if sender is not None and not sender.source_dest_check else 0.04
        src = chance.choice(everyone) if self.maybe(strange) else chance.choice((own[0], own[0], *own))
        likely = self.near(sender) if sender is not None and self.maybe(0.7) else everyone
        dst = chance.choice([a for a in likely if a.version == src.version and a != src])
        if str(dst) in S3 and self.maybe(0.6):
            return self._sent(sender), Packet(
                src=src, dst=dst, protocol=6, sport=chance.choice((40000, 1024, 443)), dport=443
            )
        protocol = chance.choice((6, 6, 6, 6, 17, 1 if src.version == 4 else 58, 47))
        ported, icmp = protocol in (6, 17), protocol in (1, 58)
        kind = chance.choice((8, 8, 8, 0, 13)) if protocol == 1 else chance.choice((128, 128, 129)) if icmp else 0
        made = Packet(
            src=src, dst=dst, protocol=protocol, sport=chance.choice((40000, 1024, 443)) if ported else 0,
            dport=chance.choice(PORTS) if ported else 0, icmp_type=kind, icmp_code=chance.choice((0, 0, 0, 4)) if icmp else 0,
        )  # fmt: skip
        return self._sent(sender), made

    @staticmethod
    def _sent(sender: NetworkInterface | None) -> str:
        return spec.INTERNET if sender is None else sender.id

    # ------------------------------------------------------------------ changing
    def change(self) -> None:
        """One random change in the middle of conversations."""
        name = self.chance.choice(list(self.numbers))
        steps = [self._regroup, self._rewrite, self._rewrite, self._reroute, self._relist, self._relist, self._reserve]
        steps += [self._repeer] * 2 if self.pairs else []
        self.chance.choice(steps)(name)

    def _regroup(self, name: str) -> None:
        eni = self.world.get(NETWORK_INTERFACE, ident("eni", f"{name}{self.chance.randrange(3)}"))
        self.world = changed(self.world, replace(eni, groups=(ident("sg", f"{name}g{self.chance.randrange(2)}"),)))

    def _rewrite(self, name: str) -> None:
        """Other rules, or none."""
        made = self.group(name, self.chance.randrange(2))
        self.world = changed(self.world, replace(made, rules=()) if self.maybe(0.3) else made)

    def _reroute(self, name: str) -> None:
        self.world = changed(self.world, self.table(name, self.chance.choice((name, f"{name}t"))))

    def _relist(self, name: str) -> None:
        del name
        self.world = changed(self.world, self.prefixes(self.chance.choice(LISTS)))

    def _repeer(self, name: str) -> None:
        """To another state, or gone for good, or back."""
        del name
        which = self.chance.choice(list(self.pairs))
        found = self.world.find(PEERING_CONNECTION, ident("pcx", which))
        if found is not None and self.maybe(0.25):
            self.world = without(self.world, found)
        else:
            wanted = (
                self.chance.choice(STATES)
                if found is not None and found.status is PeeringStatus.ACTIVE
                else PeeringStatus.ACTIVE
            )
            self.world = changed(self.world, self.connection(which, wanted))

    def _reserve(self, name: str) -> None:
        """The endpoint leads from other tables, or goes with its routes, or comes."""
        found = self.world.find(VPC_ENDPOINT, ident("vpce", name))
        if found is not None:
            self.world = without(self.world, found)
        self.with_endpoint.pop(name, None)
        if found is None or self.maybe(0.5):
            self.with_endpoint[name] = self._some_tables(name)
            made = gateway_endpoint(name, "s3", self.with_endpoint[name], vpc=name)
            self.world = changed(self.world, self.there(name, made))
        for called in (name, f"{name}t"):
            self._endpoint_route(name, called)

    def _endpoint_route(self, name: str, called: str) -> None:
        found = self.world.get(ROUTE_TABLE, ident("rtb", called))
        listed = tuple(r for r in found.listed if r.prefix_list_id != ident("pl", "s3"))
        if called in self.with_endpoint.get(name, ()):
            listed += (list_route("s3", ident("vpce", name)),)
        self.world = changed(self.world, replace(found, listed=listed))

    def _some_tables(self, name: str) -> tuple[str, ...]:
        return self.chance.choice(((name,), (f"{name}t",), (name, f"{name}t")))


def scene(chance: random.Random) -> Scene:
    """Two or three VPCs: peered in a chain or all together, in two accounts or two Regions."""
    names = "abc" if chance.random() < 0.7 else "ab"
    twins = len(names) == 3 and chance.random() < 0.2  # PCX-03: as long as b and c are not peered
    numbers = {name: 1 if twins and name == "c" else n for n, name in enumerate(names)}
    places = dict.fromkeys(names, (ACCOUNT, REGION))
    if chance.random() < 0.4:
        places["b"] = (OTHER_ACCOUNT, REGION)
    if chance.random() < 0.35:
        places[names[-1]] = (ACCOUNT, OTHER_REGION)
    made = Scene(chance, numbers, places)
    wanted = [("b", "a")] + ([("a", "c")] if twins or made.maybe(0.25) else []) + ([] if twins else [("b", "c")])
    made.pairs = {"".join(pair): pair for pair in wanted if set(pair) <= set(names)}
    made.with_gateway = [name for name in names if made.maybe(0.5)]
    made.with_endpoint = {name: made._some_tables(name) for name in names if made.maybe(0.6)}
    lists = [*(made.prefixes(name) for name in LISTS), prefix_list("s3", *S3_BLOCKS, owner_id="AWS", most=2)]
    made.world = world(*(made.vpc(name) for name in names), lists, [made.connection(name) for name in made.pairs])
    return made
