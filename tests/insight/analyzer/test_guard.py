"""What a change opens, by the shortcut of guard rails, is what all paths of both configurations say (random VPCs and scopes)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringfence.insight.analyzer import guard
from ringfence.insight.analyzer.scope import Scope, refined
from ringfence.insight.analyzer.statements import content_of
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.space import Space
from ringfence.model.kinds import GAP
from ringfence.model.nouns.gap import Gap
from ringfence.model.world import World, put
from tests.api.ops.harness import ACCOUNT, REGION, tcp
from tests.builders import ident
from tests.differential import generator
from tests.insight.analyzer.peered_scopes import Joined
from tests.insight.analyzer.scopes import Scoped, Tally
from tests.insight.analyzer.test_explanations import PCX, Analyser
from tests.sampling import part


def _everything(before: tuple[World, Engine], after: tuple[World, Engine], content: Any) -> bool:
    """Is any path open that was not, looking at all of both?"""
    old, new = guard._aligned(refined(before[1], content), refined(after[1], content))
    was = {path.key: path.space for path in Scope(before[0], old, content, ACCOUNT, REGION).paths()}
    nothing = Space(new.services)
    now = Scope(after[0], new, content, ACCOUNT, REGION)
    return any(path.space.minus(was.get(path.key, nothing)) for path in now.paths())


def _routing(call: Any, chance: random.Random, site: Any) -> None:
    """Changes that the differential does not make: routes, checks, addresses, instances that stop and start."""
    kind = chance.randrange(9)
    eni = chance.choice(site.interfaces)["NetworkInterfaceId"]
    if kind == 0:
        call(
            "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, SourceDestCheck={"Value": chance.random() < 0.5}
        )
    elif kind == 1 and site.tables:
        table, block = chance.choice(site.tables), chance.choice(("10.0.1.0/24", "203.0.113.0/24", "198.51.100.0/24"))
        generator.tolerant(call, "CreateRoute", RouteTableId=table, DestinationCidrBlock=block, NetworkInterfaceId=eni)
    elif kind == 2:
        made = call("AllocateAddress", Domain="vpc")["AllocationId"]
        call("AssociateAddress", AllocationId=made, NetworkInterfaceId=eni)
    elif kind == 3:
        call("CreateNetworkInterface", SubnetId=chance.choice(site.subnets), Groups=[chance.choice(site.groups)])
    elif kind in (4, 5) and site.acls:
        entry = {"RuleNumber": chance.randrange(1, 40), "Protocol": "-1", "CidrBlock": "0.0.0.0/0"}
        acl, egress = chance.choice(site.acls), chance.random() < 0.5
        call("CreateNetworkAclEntry", NetworkAclId=acl, RuleAction="allow", Egress=egress, **entry)
    elif kind in (6, 7) and site.tables:
        route = {"RouteTableId": chance.choice(site.tables), "DestinationCidrBlock": "0.0.0.0/0"}
        if not generator.tolerant(call, "CreateRoute", GatewayId=site.gateway, **route):
            call("DeleteRoute", **route)
    else:
        call(chance.choice(("StopInstances", "StartInstances")), InstanceIds=[chance.choice(site.instances)])


def _beyond(call: Any, chance: random.Random, site: Any) -> None:
    """Changes of the far VPC and of the connection."""
    far = [eni for eni in site.interfaces if eni["VpcId"] in site.peers]
    groups = call("DescribeSecurityGroups", Filters=[{"Name": "vpc-id", "Values": site.peers}])["SecurityGroups"]
    only = [{"Name": "vpc-id", "Values": [site.vpc, *site.peers]}]
    tables = call("DescribeRouteTables", Filters=only)["RouteTables"]
    kind = chance.randrange(12)
    if kind < 4:
        eni, group = chance.choice(far)["NetworkInterfaceId"], chance.choice(groups)["GroupId"]
        call("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, Groups=[group])
    elif kind < 6:
        where = {"SubnetId": far[0]["SubnetId"], "Groups": [chance.choice(groups)["GroupId"]], "Ipv6AddressCount": 1}
        call("CreateNetworkInterface", **where)
    elif kind < 11:
        table = chance.choice(tables)
        id, other = table["RouteTableId"], "10.0.0.0/16" if table["VpcId"] in site.peers else "10.1.0.0/16"
        (shown, *_) = call("DescribeVpcPeeringConnections")["VpcPeeringConnections"]
        route = {"RouteTableId": id, "DestinationCidrBlock": other}
        pcx = shown["VpcPeeringConnectionId"]
        if not generator.tolerant(call, "CreateRoute", VpcPeeringConnectionId=pcx, **route):
            call("DeleteRoute", **route)
    else:
        (shown, *_) = call("DescribeVpcPeeringConnections")["VpcPeeringConnections"]
        call("DeleteVpcPeeringConnection", VpcPeeringConnectionId=shown["VpcPeeringConnectionId"])


def _differences(seeds: range, make: Any = Scoped, special: Any = _routing) -> tuple[int, int, list[str]]:
    cases, opening, out = 0, 0, []
    for seed in seeds:
        scoped = make(seed, Tally())
        api, chance, site = scoped.run.api, scoped.run.chance, scoped.run.site
        engine = api.engines.of(api.world)
        for _ in range(10):
            before = api.world, engine
            change = generator.change if chance.random() < 0.3 else special
            try:
                change(api.call, chance, site)
            except Exception as problem:
                if not getattr(problem, "code", ""):
                    raise
                continue
            api.settle()
            generator.refresh(api.call, site)
            engine = api.engines.of(api.world)
            content = content_of(scoped.scope(), api.world)
            whole = _everything(before, (api.world, engine), content)
            quick = any(guard.opened(before, (api.world, engine), content, ACCOUNT, REGION))
            cases, opening = cases + 1, opening + whole
            if whole is not quick:
                out.append(f"seed {seed}: {change}: everything {whole}, guard {quick}")
    return cases, opening, out


def test_the_shortcut_misses_nothing() -> None:
    cases, opening, differences = _differences(range(30))
    assert differences == []
    assert cases > 160
    assert 0.03 < opening / cases < 0.8


def test_the_shortcut_misses_nothing_of_peers() -> None:
    """PCX-05, PCX-09: nor does it refuse what was there before."""
    cases, opening, differences = _differences(range(8), Joined, _beyond)
    assert differences == []
    assert cases > 60
    assert opening >= 3


@pytest.mark.parametrize("kind", part(["Group", "Acl", "RouteTable", "Interface", "PeerMembers"]))
def test_a_kind_of_change_that_is_overlooked_is_noticed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = guard._touched

    def blind(before: Engine, after: Engine) -> frozenset[str]:
        now = {k: f for k, f in after.ir.fragments.items() if k[0] != kind or before.ir.fragments.get(k) is f}
        hidden = {k: f for k, f in before.ir.fragments.items() if k not in now and k[0] == kind}
        blinded = object.__new__(Engine)
        blinded.__dict__.update(after.__dict__)
        blinded.ir = type(after.ir)(after.ir.generation, {**now, **hidden})
        return whole(before, blinded)

    monkeypatch.setattr(guard, "_touched", blind)
    among = (range(2, 3), Joined, _beyond) if kind == "PeerMembers" else (range(30),)
    assert _differences(*among)[2]


def test_what_becomes_unknown_is_refused() -> None:
    """Fail closed: a change after which a path of the scope cannot be told."""
    api, gap = Analyser(), Gap(
        id="gap-1", owner_id=ACCOUNT, region=REGION, vpc_id=ident("vpc", "main"), element="nat-0123", why="not modelled"
    )  # fmt: skip
    after = api.world.apply(put(GAP, gap))
    content = content_of(
        {"MatchPaths": [{"Source": {"ResourceStatement": {"Resources": [ident("vpc", "main")]}}}]}, api.world
    )
    sides = (api.world, api.engines.of(api.world)), (after, api.engines.of(after))
    (told,) = guard.opened(*sides, content, ACCOUNT, REGION)
    assert "cannot be told: nat-0123" in told.text
    assert list(guard.opened(sides[1], sides[1], content, ACCOUNT, REGION)) == []


def test_the_rule_is_named_on_detours_too() -> None:
    """Over a connection and through an appliance, the rules of the scope's own account; the far VPC's are not told."""
    api = Analyser()
    box, near, web = ident("eni", "box"), ident("eni", "near"), ident("sg", "web")
    through = {"Source": {"ResourceStatement": {"Resources": [ident("eni", "part")]}}}
    into = {
        "Source": {"ResourceStatement": {"Resources": [PCX]}},
        "Destination": {"ResourceStatement": {"Resources": [near]}},
    }
    for entry, named in ((through, f"{box}, which passes it on"), (into, PCX)):
        before, ports = api.world, {"PacketHeaderStatement": {"DestinationPorts": ["8080"], "Protocols": ["tcp"]}}
        api.call("AuthorizeSecurityGroupIngress", GroupId=web, IpPermissions=[tcp(8080)])
        content = content_of({"MatchPaths": [{**entry, "Source": {**entry["Source"], **ports}}]}, api.world)
        sides = (before, api.engines.of(before)), (api.world, api.engines.of(api.world))
        texts = [each.text for each in guard.opened(*sides, content, ACCOUNT, REGION)]
        assert any(named in text and f" of {web}" in text for text in texts), texts
        assert not any(ident("sg", "peer") in text for text in texts)
        api.world = before
