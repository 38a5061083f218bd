"""Any order of API calls, split into any deltas, with agents that die at any moment: what is in the kernel at the end?

    python -m tests.kernel.any_path SEED        prints the readback as JSON; SEEDS 0 and -2 are straight ways

Runs in a user, mount and network namespace of its own. The calls go through the real operations and the compiler; every
agent's life is a process that brings the kernel from one IR to the next, and may be killed in the middle of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.dataplane import topology
from ringfence.dataplane.guests import Running
from ringfence.dataplane.network import Network
from ringfence.dataplane.plan import guest_ns
from ringfence.insight.flowlogs.fields import DEFAULT
from ringfence.model.ids import SeededIds
from ringfence.model.kinds import FLOW_LOG
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import delete, put
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Ir, Machine
from tests.api.ops.harness import ACCOUNT, REGION, Api
from tests.kernel.isolation import isolated
from tests.kernel.readback import everything

STATE = Path("/run/guests.json")


class BareGuests:
    """Guests without a sandbox: a network namespace each, which outlives the agent as a guest does."""

    def running(self) -> dict[str, Running]:
        held = json.loads(STATE.read_text()) if STATE.exists() else {}
        return {id: Running(1, boots) for id, boots in held.items()}

    def running_ids(self) -> set[str]:
        return set(self.running())

    def _write(self, boots: dict[str, int]) -> None:
        new = STATE.with_suffix(".new")
        new.write_text(json.dumps(boots))
        new.replace(STATE)

    def start(self, machine: Machine, *, resolver: str, domain: str) -> None:
        name = guest_ns(machine.instance_id)
        if name in topology.namespaces():  # of a start that was cut short
            topology.drop_namespace(name)
        topology.make_namespace(name)
        netns = topology.open_namespace(name)
        topology.write_sysctls(netns, topology.GUEST_SYSCTLS)
        os.close(netns)
        self._write({id: guest.boots for id, guest in self.running().items()} | {machine.instance_id: machine.boots})

    def go(self, instance_id: str) -> None:
        pass

    def stop(self, instance_id: str) -> None:
        self._write({id: guest.boots for id, guest in self.running().items() if id != instance_id})
        if guest_ns(instance_id) in topology.namespaces():
            topology.drop_namespace(guest_ns(instance_id))


# ---------------------------------------------------------------------- the calls
@dataclass
class Site:
    """An API and the ids its calls have made."""

    api: Api
    ids: dict[str, str] = field(default_factory=dict)

    def call(self, action: str, **params: Any) -> Any:
        return self.api.call(action, **params)


@dataclass(frozen=True)
class Step:
    """One or two calls, possible once others have been made. Its ids depend on its name alone."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[Site], object]

    @property
    def ids(self) -> SeededIds:
        """The ids of what it makes."""
        return SeededIds(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:7], "big"))


def _vpc(name: str, cidr: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        site.ids[name] = site.call("CreateVpc", CidrBlock=cidr, AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]

    return run


def _subnet(name: str, vpc: str, cidr: str, number: int) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        block = site.call("DescribeVpcs", VpcIds=[site.ids[vpc]])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]
        six = block["Ipv6CidrBlock"].replace("00::/56", f"{number:02x}::/64")
        made = site.call("CreateSubnet", VpcId=site.ids[vpc], CidrBlock=cidr, Ipv6CidrBlock=six)
        site.ids[name] = made["Subnet"]["SubnetId"]

    return run


def _group(name: str, vpc: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        made = site.call("CreateSecurityGroup", GroupName=name, Description=name, VpcId=site.ids[vpc])
        site.ids[name] = made["GroupId"]

    return run


def _rule(group: str, port: int, peer: str, verb: str = "AuthorizeSecurityGroupIngress") -> Callable[[Site], object]:
    def run(site: Site) -> None:
        permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port + 5}
        if peer in site.ids:
            permission["UserIdGroupPairs"] = [{"GroupId": site.ids[peer]}]
        else:
            permission["IpRanges"] = [{"CidrIp": peer}]
        site.call(verb, GroupId=site.ids[group], IpPermissions=[permission])

    return run


def _interface(name: str, subnet: str, address: str, *groups: str, six: str = "") -> Callable[[Site], object]:
    def run(site: Site) -> None:
        more: dict[str, Any] = {}
        if six:
            found = site.call("DescribeSubnets", SubnetIds=[site.ids[subnet]])["Subnets"][0]
            block = found["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
            more["Ipv6Addresses"] = [{"Ipv6Address": block.removesuffix("/64") + six}]
        made = site.call(
            "CreateNetworkInterface", SubnetId=site.ids[subnet], PrivateIpAddress=address,
            Groups=[site.ids[group] for group in groups], **more,
        )  # fmt: skip
        site.ids[name] = made["NetworkInterface"]["NetworkInterfaceId"]

    return run


def _instance(name: str, eni: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        made = site.call(
            "RunInstances", ImageId=site.api.image(), InstanceType="t3.nano", MinCount=1, MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": site.ids[eni]}],
        )  # fmt: skip
        site.ids[name] = made["Instances"][0]["InstanceId"]
        site.api.settle()

    return run


def _gateway(site: Site) -> None:
    site.ids["igw"] = site.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    site.call("AttachInternetGateway", InternetGatewayId=site.ids["igw"], VpcId=site.ids["v1"])


def _table(name: str, vpc: str = "v1") -> Callable[[Site], object]:
    def run(site: Site) -> None:
        site.ids[name] = site.call("CreateRouteTable", VpcId=site.ids[vpc])["RouteTable"]["RouteTableId"]

    return run


def _do(action: str, *named: str, **params: Any) -> Callable[[Site], object]:
    """A call whose parameters `named` as "Parameter=id" are ids made before."""

    def run(site: Site) -> None:
        ids = dict(each.split("=") for each in named)
        site.call(action, **{parameter: site.ids[name] for parameter, name in ids.items()}, **params)

    return run


def _acl(site: Site) -> None:
    site.ids["acl"] = site.call("CreateNetworkAcl", VpcId=site.ids["v1"])["NetworkAcl"]["NetworkAclId"]


def _entry(number: int, *, egress: bool, allow: bool, cidr: str) -> Callable[[Site], object]:
    return _do(
        "CreateNetworkAclEntry", "NetworkAclId=acl", RuleNumber=number, Protocol="-1", Egress=egress,
        RuleAction="allow" if allow else "deny", CidrBlock=cidr,
    )  # fmt: skip


def _use_acl(site: Site) -> None:
    acls = site.call("DescribeNetworkAcls")["NetworkAcls"]
    found = next(a for acl in acls for a in acl["Associations"] if a["SubnetId"] == site.ids["s2"])
    site.call(
        "ReplaceNetworkAclAssociation", AssociationId=found["NetworkAclAssociationId"], NetworkAclId=site.ids["acl"]
    )


def _elastic(site: Site) -> None:
    site.ids["eip"] = site.call("AllocateAddress", Domain="vpc")["AllocationId"]
    site.call("AssociateAddress", AllocationId=site.ids["eip"], NetworkInterfaceId=site.ids["a"])


def _revoke(group: str, port: int, peer: str) -> Callable[[Site], object]:
    return _rule(group, port, peer, "RevokeSecurityGroupIngress")


def _log(name: str, kind: str, of: str, traffic: str, *fields: str) -> Callable[[Site], object]:
    """A flow log as a row: calls need somewhere to deliver to."""

    def run(site: Site) -> None:
        log = FlowLog(
            id=f"fl-{name}", owner_id=ACCOUNT, region=REGION, resource_id=site.ids[of], resource_type=kind, traffic_type=traffic,
            destination_type="s3", destination="arn:aws:s3:::logs", fields=fields or DEFAULT, created=0.0,
        )  # fmt: skip
        site.api.world = site.api.world.apply(put(FLOW_LOG, log))

    return run


def _no_log(name: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        site.api.world = site.api.world.apply(delete(FLOW_LOG, f"fl-{name}"))

    return run


STEPS = (
    Step("v1", (), _vpc("v1", "10.1.0.0/16")),
    Step("v2", (), _vpc("v2", "10.1.0.0/16")),
    Step("s1", ("v1",), _subnet("s1", "v1", "10.1.1.0/24", 1)),
    Step("s2", ("v1",), _subnet("s2", "v1", "10.1.2.0/24", 2)),
    Step("s3", ("v2",), _subnet("s3", "v2", "10.1.1.0/24", 1)),
    Step("web", ("v1",), _group("web", "v1")),
    Step("db", ("v1",), _group("db", "v1")),
    Step("far", ("v2",), _group("far", "v2")),
    Step("web rule", ("web",), _rule("web", 80, "0.0.0.0/0")),
    Step("web rule 2", ("web",), _rule("web", 443, "203.0.113.0/24")),
    Step("db rule", ("web", "db"), _rule("db", 5432, "web")),
    Step("far rule", ("far",), _rule("far", 22, "10.0.0.0/8")),
    Step("passing rule", ("db",), _rule("db", 9000, "192.0.2.0/24")),
    Step("passing rule gone", ("passing rule",), _revoke("db", 9000, "192.0.2.0/24")),
    Step("a", ("s1", "web"), _interface("a", "s1", "10.1.1.10", "web", six="10")),
    Step("b", ("s2", "db"), _interface("b", "s2", "10.1.2.10", "db")),
    Step("c", ("s1", "db"), _interface("c", "s1", "10.1.1.11", "db")),
    Step("d", ("s3", "far"), _interface("d", "s3", "10.1.1.10", "far", six="77")),
    Step("passing", ("s1", "web"), _interface("passing", "s1", "10.1.1.99", "web")),
    Step("passing gone", ("passing",), _do("DeleteNetworkInterface", "NetworkInterfaceId=passing")),
    Step("b in both groups", ("b", "web", "db"), lambda site: site.call(
        "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=site.ids["b"], Groups=[site.ids["web"], site.ids["db"]])),
    Step("b has two addresses", ("b",), _do(
        "AssignPrivateIpAddresses", "NetworkInterfaceId=b", PrivateIpAddresses=["10.1.2.20"])),
    Step("c unchecked", ("c",), _do(
        "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId=c", SourceDestCheck={"Value": False})),
    Step("one", ("a",), _instance("one", "a")),
    Step("two", ("c",), _instance("two", "c")),
    Step("three", ("d",), _instance("three", "d")),
    Step("three stops", ("three",), lambda site: (
        site.call("StopInstances", InstanceIds=[site.ids["three"]]), site.api.settle())),
    Step("igw", ("v1",), _gateway),
    Step("passing table", ("v1",), _table("passing-table")),
    Step("passing table gone", ("passing table",), _do("DeleteRouteTable", "RouteTableId=passing-table")),
    Step("table", ("v1",), _table("table")),
    Step("default route", ("igw", "table"), _do(
        "CreateRoute", "RouteTableId=table", "GatewayId=igw", DestinationCidrBlock="0.0.0.0/0")),
    Step("default route 6", ("igw", "table"), _do(
        "CreateRoute", "RouteTableId=table", "GatewayId=igw", DestinationIpv6CidrBlock="::/0")),
    Step("through c", ("two", "s2", "table"), _do(
        "CreateRoute", "RouteTableId=table", "NetworkInterfaceId=c", DestinationCidrBlock="10.1.2.0/24")),
    Step("s1 uses the table", ("table", "s1"), _do("AssociateRouteTable", "RouteTableId=table", "SubnetId=s1")),
    Step("eip", ("a", "igw"), _elastic),
    Step("acl", ("v1",), _acl),
    Step("acl in", ("acl",), _entry(90, egress=False, allow=False, cidr="198.51.100.0/24")),
    Step("acl in all", ("acl",), _entry(100, egress=False, allow=True, cidr="0.0.0.0/0")),
    Step("acl out", ("acl",), _entry(100, egress=True, allow=True, cidr="10.0.0.0/8")),
    Step("s2 uses the acl", ("acl", "s2"), _use_acl),
    # counting: of all that v1 has; of refusals in v2, whose other logs pass
    Step("log", ("v1",), _log("log", "VPC", "v1", "ALL")),
    Step("log of a", ("a",), _log("a", "NetworkInterface", "a", "REJECT")),
    Step("passing log of flags", ("s2",), _log("flags", "Subnet", "s2", "ACCEPT", "srcaddr", "tcp-flags")),
    Step("passing log of flags gone", ("passing log of flags",), _no_log("flags")),
    Step("log of refusals", ("s3",), _log("refusals", "Subnet", "s3", "REJECT", "srcaddr", "tcp-flags")),
    Step("passing log of v2", ("v2",), _log("passing", "VPC", "v2", "ALL")),
    Step("passing log of v2 gone", ("passing log of v2",), _no_log("passing")),
)  # fmt: skip


def _named(*names: str) -> tuple[Step, ...]:
    """Of the first site, by their names."""
    held = {step.name: step for step in STEPS}
    return tuple(held[name] for name in names)


def _peering(name: str, near: str, far: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        made = site.call("CreateVpcPeeringConnection", VpcId=site.ids[near], PeerVpcId=site.ids[far])
        site.ids[name] = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]

    return run


def _across(verb: str, group: str, protocol: str, far: str) -> Callable[[Site], object]:
    """A rule that names a group of a peer VPC."""

    def run(site: Site) -> None:
        pair = {"GroupId": site.ids[far], "VpcPeeringConnectionId": site.ids["pcx"]}
        site.call(verb, GroupId=site.ids[group], IpPermissions=[{"IpProtocol": protocol, "UserIdGroupPairs": [pair]}])

    return run


def _list(name: str, *blocks: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        entries = [{"Cidr": block} for block in blocks]
        made = site.call(
            "CreateManagedPrefixList", PrefixListName=name, MaxEntries=5, AddressFamily="IPv4", Entries=entries
        )
        site.ids[name] = made["PrefixList"]["PrefixListId"]

    return run


def _entries(name: str, **verbs: str) -> Callable[[Site], object]:
    """A list's second version; AddEntries, RemoveEntries."""
    change = {verb: [{"Cidr": block}] for verb, block in verbs.items()}
    return _do("ModifyManagedPrefixList", f"PrefixListId={name}", CurrentVersion=1, **change)


def _both(*runs: Callable[[Site], object]) -> Callable[[Site], object]:
    """Two calls, one after the other."""
    return lambda site: [run(site) for run in runs]


def _by_list(verb: str, group: str, port: int, name: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        named = {"PrefixListIds": [{"PrefixListId": site.ids[name]}]}
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **named}
        site.call(verb, GroupId=site.ids[group], IpPermissions=[rule])

    return run


def _endpoint(name: str, vpc: str, *tables: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        made = site.call(
            "CreateVpcEndpoint", VpcId=site.ids[vpc], ServiceName=f"com.amazonaws.{REGION}.s3",
            RouteTableIds=[site.ids[table] for table in tables],
        )  # fmt: skip
        site.ids[name] = made["VpcEndpoint"]["VpcEndpointId"]

    return run


def _endpoint_tables(name: str, **tables: str) -> Callable[[Site], object]:
    """`AddRouteTableIds` or `RemoveRouteTableIds`."""
    return lambda site: site.call(
        "ModifyVpcEndpoint", VpcEndpointId=site.ids[name], **{verb: [site.ids[table]] for verb, table in tables.items()}
    )


_INGRESS, _REVOKE = "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"
#: a site with peers, prefix lists and endpoints; by it `c`, unchecked, passes on what `b` sends to the peer
JOINED = (
    *_named("v1", "s1", "s2", "web", "db", "a", "b", "c", "c unchecked", "one", "two", "table", "s1 uses the table", "log"),
    Step("v3", (), _vpc("v3", "10.3.0.0/16")),
    Step("s4", ("v3",), _subnet("s4", "v3", "10.3.1.0/24", 1)),
    Step("peers", ("v3",), _group("peers", "v3")),
    Step("e", ("s4", "peers"), _interface("e", "s4", "10.3.1.10", "peers", six="10")),
    Step("log of v3", ("v3",), _log("v3", "VPC", "v3", "ALL")),
    Step("pcx", ("v1", "v3", "passing pcx gone"), _peering("pcx", "v1", "v3")),
    Step("pcx accepted", ("pcx",), _do("AcceptVpcPeeringConnection", "VpcPeeringConnectionId=pcx")),
    Step("route to v3", ("pcx accepted", "table"), _do(
        "CreateRoute", "RouteTableId=table", "VpcPeeringConnectionId=pcx", DestinationCidrBlock="10.3.0.0/16")),
    Step("table of v3", ("v3",), _table("table3", "v3")),
    Step("s4 uses its table", ("table of v3", "s4"), _do("AssociateRouteTable", "RouteTableId=table3", "SubnetId=s4")),
    Step("route to v1", ("pcx accepted", "table of v3"), _do(
        "CreateRoute", "RouteTableId=table3", "VpcPeeringConnectionId=pcx", DestinationCidrBlock="10.1.0.0/16")),
    Step("second table", ("v1",), _table("table2")),
    Step("s2 uses the second table", ("second table", "s2"), _do("AssociateRouteTable", "RouteTableId=table2", "SubnetId=s2")),
    Step("to v3 through c", ("second table", "two"), _do(
        "CreateRoute", "RouteTableId=table2", "NetworkInterfaceId=c", DestinationCidrBlock="10.3.0.0/16")),
    Step("peers of web", ("pcx accepted", "peers", "web"), _across(_INGRESS, "peers", "-1", "web")),
    Step("web of peers", ("pcx accepted", "peers", "web"), _across(_INGRESS, "web", "47", "peers")),
    Step("passing reference", ("pcx accepted", "peers", "db"), _across(_INGRESS, "db", "50", "peers")),
    Step("passing reference gone", ("passing reference",), _across(_REVOKE, "db", "50", "peers")),
    # a connection that comes and goes before, the other way round, with a route by it
    Step("passing pcx", ("v1", "v3"), _both(
        _peering("passing-pcx", "v3", "v1"), _do("AcceptVpcPeeringConnection", "VpcPeeringConnectionId=passing-pcx"))),
    Step("passing route", ("passing pcx", "second table"), _do(
        "CreateRoute", "RouteTableId=table2", "VpcPeeringConnectionId=passing-pcx", DestinationCidrBlock="10.3.9.0/24")),
    Step("passing pcx gone", ("passing route",), _do("DeleteVpcPeeringConnection", "VpcPeeringConnectionId=passing-pcx")),
    Step("passing route gone", ("passing pcx gone",), _do(
        "DeleteRoute", "RouteTableId=table2", DestinationCidrBlock="10.3.9.0/24")),
    # lists, by rules and by routes
    Step("list", (), _list("list", "192.0.2.0/24", "198.51.100.0/25")),
    Step("list changed", ("list",), _entries("list", AddEntries="203.0.113.0/24", RemoveEntries="198.51.100.0/25")),
    Step("rule by list", ("list", "web"), _by_list(_INGRESS, "web", 7000, "list")),
    Step("route by list", ("list", "pcx accepted", "table"), _do(
        "CreateRoute", "RouteTableId=table", "VpcPeeringConnectionId=pcx", "DestinationPrefixListId=list")),
    Step("passing list", (), _list("passing-list", "192.0.2.128/25")),
    Step("passing rule by list", ("passing list", "db"), _by_list(_INGRESS, "db", 7001, "passing-list")),
    Step("passing list gone", ("passing rule by list",), _both(
        _by_list(_REVOKE, "db", 7001, "passing-list"), _do("DeleteManagedPrefixList", "PrefixListId=passing-list"))),
    # endpoints: one stays, and moves between tables
    Step("passing endpoint", ("second table",), _endpoint("passing-vpce", "v1", "table2")),
    Step("passing endpoint gone", ("passing endpoint",), lambda site: site.call(
        "DeleteVpcEndpoints", VpcEndpointIds=[site.ids["passing-vpce"]])),
    Step("endpoint", ("table", "v1"), _endpoint("vpce", "v1", "table")),
    Step("endpoint elsewhere", ("endpoint", "passing endpoint gone"), _endpoint_tables(
        "vpce", AddRouteTableIds="table2", RemoveRouteTableIds="table")),
)  # fmt: skip


def steps_of(seed: int) -> tuple[Step, ...]:
    """Odd seeds play the first site, even ones the joined one; 0 and -2 are their straight ways."""
    return JOINED if seed < 0 or (seed and seed % 2 == 0) else STEPS


def ordered(chance: random.Random | None, steps: tuple[Step, ...] = STEPS) -> list[Step]:
    """The steps, each after what it needs: as they stand, or in a random order."""
    left, made, out = list(steps), set[str](), list[Step]()
    while left:
        ready = [step for step in left if made.issuperset(step.needs)]
        step = chance.choice(ready) if chance else ready[0]
        left.remove(step)
        made.add(step.name)
        out.append(step)
    return out


# ---------------------------------------------------------------------- agents
def live(irs: list[Ir], die_after: float | None) -> None:
    """One agent's life: it brings the kernel to each IR in turn, then ends; or is killed after some seconds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            network = Network(BareGuests())  # type: ignore[arg-type]
            for ir in irs:
                list(network.bring(ir))
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    if die_after is not None:
        time.sleep(die_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if die_after is None and status != 0:
        raise RuntimeError(f"an agent ended with status {status}")


def walk(seed: int) -> dict[str, list[str]]:
    """The calls of a seed, with its splits and deaths; what the kernel holds in the end."""
    chance = random.Random(seed) if seed > 0 else None
    site = Site(Api(defaults=True, quotas={"elastic-ips": 50}))
    irs: list[Ir] = []
    for step in ordered(chance, steps_of(seed)):
        site.api.ids = step.ids
        step.run(site)
        if chance and chance.random() < 0.25:
            irs.append(compile_world(site.api.world))
            if chance.random() < 0.35:
                live(irs, None if chance.random() < 0.5 else chance.uniform(0.02, 0.6))
                irs = []
    live([*irs, compile_world(site.api.world)], None)
    return everything(site.api.world)


def straying(seed: int) -> dict[str, list[str]]:
    """`walk` in namespaces of its own."""
    found: dict[str, list[str]] = isolated("any_path", str(seed))
    return found


if __name__ == "__main__":
    print(json.dumps(walk(int(sys.argv[1]))))
