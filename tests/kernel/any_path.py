"""Any order of API calls, split into any deltas, with agents that die at any moment: what is in the kernel at the end?

    python -m tests.kernel.any_path SEED        prints the readback as JSON; SEED 0 is the straight way

Runs in a user, mount and network namespace of its own. The calls go through the real operations and the compiler; every
agent's life is a process that brings the kernel from one IR to the next, and may be killed in the middle of it.
"""

from __future__ import annotations

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


def _table(name: str) -> Callable[[Site], object]:
    def run(site: Site) -> None:
        site.ids[name] = site.call("CreateRouteTable", VpcId=site.ids["v1"])["RouteTable"]["RouteTableId"]

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


def ordered(chance: random.Random | None) -> list[Step]:
    """The steps, each after what it needs: as they stand, or in a random order."""
    left, made, out = list(STEPS), set[str](), list[Step]()
    while left:
        ready = [step for step in left if made >= set(step.needs)]
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
    chance = random.Random(seed) if seed else None
    site = Site(Api(defaults=True, quotas={"elastic-ips": 50}))
    irs: list[Ir] = []
    for step in ordered(chance):
        site.api.ids = SeededIds(int.from_bytes(step.name.encode(), "big") % 2**61)
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
