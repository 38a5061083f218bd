"""Terraform plans and states: resources as AWS makes them, references resolved, what is not told named."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ringfence.insight.imports.load import Network
from ringfence.insight.imports.notes import ImportProblem
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.exposure import exposure
from ringfence.insight.reach.trace import trace_request
from ringfence.model import invariants
from ringfence.model.endpoints import SERVED_AT
from ringfence.model.kinds import ELASTIC_IP, NETWORK_ACL, NETWORK_INTERFACE, ROUTE_TABLE, SECURITY_GROUP, SUBNET, VPC
from ringfence.policy.compile import compile_world
from tests.insight.imports.recording import imported

Values = dict[str, Any]


def ref(*names: str) -> Values:
    """An expression that leads to resources' ids."""
    return {"references": [text for name in names for text in (f"{name}.id", name)]}


class Plan:
    """`terraform show -json`, put together resource by resource: what is a reference is unknown until applied."""

    def __init__(self) -> None:
        self.root: Values = {"resources": [], "child_modules": []}
        self.config: Values = {"resources": [], "module_calls": {}}
        self.changes: list[Values] = []

    def add(self, address: str, /, module: str = "", index: Any = None, **attributes: Any) -> Plan:
        type, name = address.split(".")
        values = {k: v for k, v in attributes.items() if not (isinstance(v, dict) and "references" in v)}
        links = {k: v for k, v in attributes.items() if k not in values}
        where = "" if index is None else f"[{index}]" if isinstance(index, int) else f'["{index}"]'
        full = f"{module + '.' if module else ''}{address}{where}"
        resource = {"address": full, "mode": "managed", "type": type, "name": name, "values": values}
        if index is not None:
            resource["index"] = index
        self._planned(module)["resources"].append(resource)
        config = self._configured(module)
        if not any(r["address"] == address for r in config["resources"]):
            given = {k: {"constant_value": v} for k, v in values.items() if not isinstance(v, list)}
            config["resources"].append({"address": address, "mode": "managed", "type": type, "name": name,
                                        "expressions": {**given, **links}})  # fmt: skip
        self.changes.append({"address": full, "change": {"after_unknown": dict.fromkeys(links, True)}})
        return self

    def block(self, address: str, name: str, values: Values, **links: Any) -> Plan:
        """A nested block, with references of its own."""
        type, own = address.split(".")
        resource = next(r for r in self.root["resources"] if (r["type"], r["name"]) == (type, own))
        config = next(r for r in self.config["resources"] if r["address"] == address)
        resource["values"].setdefault(name, []).append(values)
        constants = {key: {"constant_value": value} for key, value in values.items()}
        config["expressions"].setdefault(name, []).append({**constants, **links})
        return self

    def _planned(self, module: str) -> Values:
        if not module:
            return self.root
        found = next((m for m in self.root["child_modules"] if m["address"] == module), None)
        if found is None:
            found = {"address": module, "resources": []}
            self.root["child_modules"].append(found)
        return found

    def _configured(self, module: str) -> Values:
        if not module:
            return self.config
        name = module.removeprefix("module.").split("[")[0]
        call = self.config["module_calls"].setdefault(
            name, {"expressions": {}, "module": {"resources": [], "outputs": {}}}
        )
        return dict(call)["module"]

    @property
    def document(self) -> Values:
        return copy.deepcopy({
            "format_version": "1.2", "terraform_version": "1.9.0", "planned_values": {"root_module": self.root},
            "resource_changes": self.changes,
            "configuration": {"root_module": self.config,
                              "provider_config": {"aws": {"expressions": {"region": {"constant_value": "eu-west-1"}}}}},
        })  # fmt: skip

    def read(self, **options: Any) -> Network:
        return imported({"plan.json": self.document}, **options)


def base() -> Plan:
    """A VPC with one public subnet, a group and two instances; everything is yet to be made."""
    plan = Plan()
    plan.add("aws_vpc.main", cidr_block="10.0.0.0/16")
    plan.add("aws_subnet.a", vpc_id=ref("aws_vpc.main"), cidr_block="10.0.1.0/24", map_public_ip_on_launch=True)
    plan.add("aws_internet_gateway.gw", vpc_id=ref("aws_vpc.main"))
    plan.add("aws_route_table.public", vpc_id=ref("aws_vpc.main"))
    plan.block(
        "aws_route_table.public", "route", {"cidr_block": "0.0.0.0/0"}, gateway_id=ref("aws_internet_gateway.gw")
    )
    plan.add(
        "aws_route_table_association.a", subnet_id=ref("aws_subnet.a"), route_table_id=ref("aws_route_table.public")
    )
    plan.add("aws_security_group.web", vpc_id=ref("aws_vpc.main"), name="web")
    plan.block("aws_security_group.web", "ingress", {"from_port": 443, "to_port": 443, "protocol": "tcp",
                                                     "cidr_blocks": ["0.0.0.0/0"], "self": False})  # fmt: skip
    plan.block(
        "aws_security_group.web",
        "egress",
        {"from_port": 0, "to_port": 0, "protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]},
    )
    for name in ("x", "y"):
        plan.add(f"aws_instance.{name}", subnet_id=ref("aws_subnet.a"), vpc_security_group_ids=ref("aws_security_group.web"),
                 ami="ami-1", instance_type="t3.micro")  # fmt: skip
    return plan


def ask(network: Network, source: str, destination: str, port: int, **more: Any) -> str:
    """The outcome, or where it is dropped, between resources by their addresses."""
    names = network.notes.names
    request = {
        "source": names.get(source, source),
        "destination": names.get(destination, destination),
        "port": port,
        **more,
    }
    answer = trace_request(network.world, request)
    if answer["outcome"] == "unknown":
        return str(answer["unknown"]["component"])
    return str(answer.get("dropped_at", answer["outcome"]))


def test_a_plan_of_a_new_network() -> None:
    network = base().read()
    assert network.notes.whole, network.notes.view()
    assert invariants.check(network.world) == []
    assert ask(network, "aws_instance.x", "aws_instance.y", 443) == "ok"
    assert ask(network, "aws_instance.x", "aws_instance.y", 22) == "sg-ingress"
    assert ask(network, "internet:203.0.113.9", "aws_instance.x", 443) == "ok"
    assert network.world.all(VPC)[0].region == "eu-west-1"
    assert {str(e.address) for e in exposure(Engine(compile_world(network.world)))} == {"10.0.1.4", "10.0.1.5"}


def test_ids_are_the_same_every_time_and_well_formed() -> None:
    one, two = base().read(), base().read()
    assert one.notes.names == two.notes.names
    assert one.world.all(VPC)[0].id == one.notes.names["aws_vpc.main"]
    assert one.world.get(VPC, one.notes.names["aws_vpc.main"])


def test_what_aws_adds_to_a_new_vpc() -> None:
    """NET-02, ACL-02, SG-22: a main table, a network ACL that allows all, a default group."""
    world = Plan().add("aws_vpc.main", cidr_block="10.0.0.0/16").read().world
    assert [t.routes for t in world.all(ROUTE_TABLE)] == [()]
    assert [(e.number, e.egress, e.allow) for e in world.all(NETWORK_ACL)[0].entries] == [
        (100, False, True),
        (100, True, True),
    ]
    group = world.all(SECURITY_GROUP)[0]
    assert [(r.egress, r.protocol, r.group.group_id if r.group else str(r.cidr)) for r in group.rules] == [
        (False, -1, group.id), (True, -1, "0.0.0.0/0"),
    ]  # fmt: skip


RULES: dict[str, tuple[str, Values]] = {
    "aws_security_group_rule": ("aws_security_group_rule.r", {"type": "ingress", "from_port": 22, "to_port": 22, "protocol": "tcp",
                                                              "security_group_id": ref("aws_security_group.web"),
                                                              "cidr_blocks": ["10.0.0.0/8"]}),
    "by group": ("aws_security_group_rule.r", {"type": "ingress", "from_port": 22, "to_port": 22, "protocol": "6",
                                               "security_group_id": ref("aws_security_group.web"),
                                               "source_security_group_id": ref("aws_security_group.web")}),
    "by itself": ("aws_security_group_rule.r", {"type": "ingress", "from_port": 0, "to_port": 65535, "protocol": "TCP",
                                                "security_group_id": ref("aws_security_group.web"), "self": True}),
    "ingress_rule": ("aws_vpc_security_group_ingress_rule.r", {"from_port": 22, "to_port": 22, "ip_protocol": "tcp",
                                                               "security_group_id": ref("aws_security_group.web"),
                                                               "cidr_ipv4": "10.0.1.0/24"}),
    "ingress_rule by group": ("aws_vpc_security_group_ingress_rule.r", {
        "ip_protocol": "-1", "security_group_id": ref("aws_security_group.web"),
        "referenced_security_group_id": ref("aws_security_group.web")}),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_rules_that_are_resources(case: str) -> None:
    address, values = RULES[case]
    network = base().add(address, **values).read()
    assert network.notes.whole, network.notes.view()
    assert ask(network, "aws_instance.x", "aws_instance.y", 22) == "ok"
    assert ask(network, "internet:203.0.113.9", "aws_instance.y", 22) == "sg-ingress"


def _second_subnet(plan: Plan) -> Plan:
    plan.add("aws_subnet.b", vpc_id=ref("aws_vpc.main"), cidr_block="10.0.2.0/24")
    plan.add("aws_instance.z", subnet_id=ref("aws_subnet.b"), vpc_security_group_ids=ref("aws_security_group.web"))
    return plan


def test_network_acls_inline_and_as_rules() -> None:
    plan = _second_subnet(base())
    plan.add("aws_network_acl.strict", vpc_id=ref("aws_vpc.main"), subnet_ids=ref("aws_subnet.b"))
    plan.block("aws_network_acl.strict", "egress", {"rule_no": 1, "action": "allow", "protocol": "-1", "cidr_block": "0.0.0.0/0",
                                                    "from_port": 0, "to_port": 0})  # fmt: skip
    assert ask(plan.read(), "aws_instance.x", "aws_instance.z", 443) == "nacl-in"
    plan.add("aws_network_acl_rule.r", network_acl_id=ref("aws_network_acl.strict"), rule_number=7, egress=False, protocol="tcp",
             rule_action="allow", cidr_block="10.0.1.0/24", from_port=443, to_port=443)  # fmt: skip
    network = plan.read()
    assert network.notes.whole, network.notes.view()
    assert ask(network, "aws_instance.x", "aws_instance.z", 443) == "ok"


def test_network_acl_association() -> None:
    plan = _second_subnet(base())
    plan.add("aws_network_acl.strict", vpc_id=ref("aws_vpc.main"))
    plan.add(
        "aws_network_acl_association.b", network_acl_id=ref("aws_network_acl.strict"), subnet_id=ref("aws_subnet.b")
    )
    assert ask(plan.read(), "aws_instance.x", "aws_instance.z", 443) == "nacl-in"


def test_default_resources_are_adopted() -> None:
    """aws_default_network_acl, _route_table and _security_group manage what AWS made."""
    plan = _second_subnet(base())
    link = {"references": ["aws_vpc.main.default_network_acl_id", "aws_vpc.main"]}
    plan.add("aws_default_network_acl.d", default_network_acl_id=link)
    assert ask(plan.read(), "aws_instance.x", "aws_instance.z", 443) == "nacl-out", "no entries: nothing passes"
    plan = _second_subnet(base())
    table = {"references": ["aws_vpc.main.default_route_table_id", "aws_vpc.main"]}
    plan.add("aws_default_route_table.d", default_route_table_id=table)
    plan.block(
        "aws_default_route_table.d", "route", {"cidr_block": "0.0.0.0/0"}, gateway_id=ref("aws_internet_gateway.gw")
    )
    plan.add("aws_default_security_group.d", vpc_id=ref("aws_vpc.main"))
    plan.add("aws_eip.z", instance=ref("aws_instance.z"), domain="vpc")
    network = plan.read()
    assert network.notes.whole, network.notes.view()
    assert ask(network, "internet:203.0.113.9", "aws_instance.z", 443) == "ok"
    default = next(g for g in network.world.all(SECURITY_GROUP) if g.is_default)
    assert default.rules == (), "adopted without rules: it has none"


def test_elastic_ips_interfaces_and_associations() -> None:
    plan = base()
    plan.add("aws_network_interface.n", subnet_id=ref("aws_subnet.a"), private_ips=["10.0.1.50", "10.0.1.51"],
             security_groups=ref("aws_security_group.web"), source_dest_check=False)  # fmt: skip
    plan.add("aws_instance.n")
    plan.block(
        "aws_instance.n", "network_interface", {"device_index": 0}, network_interface_id=ref("aws_network_interface.n")
    )
    plan.add("aws_eip.n", domain="vpc")
    plan.add(
        "aws_eip_association.n", allocation_id=ref("aws_eip.n"), network_interface_id=ref("aws_network_interface.n")
    )
    network = plan.read()
    assert network.notes.whole, network.notes.view()
    eni = network.world.get(NETWORK_INTERFACE, network.notes.names["aws_network_interface.n"])
    assert (list(map(str, eni.addresses)), eni.source_dest_check) == (["10.0.1.50", "10.0.1.51"], False)
    assert ask(network, "internet:203.0.113.9", "aws_instance.n", 443) == "ok"


def test_ipv6() -> None:
    plan = Plan().add("aws_vpc.main", cidr_block="10.0.0.0/16", ipv6_cidr_block="2600:1f18::/56")
    plan.add("aws_subnet.a", vpc_id=ref("aws_vpc.main"), cidr_block="10.0.1.0/24", ipv6_cidr_block="2600:1f18::/64")
    plan.add("aws_internet_gateway.gw", vpc_id=ref("aws_vpc.main"))
    plan.add("aws_route_table.t", vpc_id=ref("aws_vpc.main"))
    plan.add("aws_route.v6", route_table_id=ref("aws_route_table.t"), destination_ipv6_cidr_block="::/0",
             gateway_id=ref("aws_internet_gateway.gw"))  # fmt: skip
    plan.add("aws_main_route_table_association.m", vpc_id=ref("aws_vpc.main"), route_table_id=ref("aws_route_table.t"))
    plan.add("aws_security_group.g", vpc_id=ref("aws_vpc.main"), name="g")
    plan.block(
        "aws_security_group.g",
        "ingress",
        {"from_port": 22, "to_port": 22, "protocol": "tcp", "ipv6_cidr_blocks": ["::/0"]},
    )
    plan.add("aws_instance.x", subnet_id=ref("aws_subnet.a"), vpc_security_group_ids=ref("aws_security_group.g"),
             ipv6_addresses=["2600:1f18::a"])  # fmt: skip
    network = plan.read()
    assert network.notes.whole, network.notes.view()
    assert ask(network, "internet:2001:db8::1", "aws_instance.x", 22, ipv6=True) == "ok"
    assert ask(network, "internet:2001:db8::1", "aws_instance.x", 23, ipv6=True) == "sg-ingress"


def test_routes_to_what_is_not_modelled() -> None:
    plan = base()
    plan.add("aws_nat_gateway.n", subnet_id=ref("aws_subnet.a"), allocation_id="eipalloc-1")
    plan.add("aws_route_table.private", vpc_id=ref("aws_vpc.main"))
    plan.add("aws_route.out", route_table_id=ref("aws_route_table.private"), destination_cidr_block="0.0.0.0/0",
             nat_gateway_id=ref("aws_nat_gateway.n"))  # fmt: skip
    _second_subnet(plan).add(
        "aws_route_table_association.b", subnet_id=ref("aws_subnet.b"), route_table_id=ref("aws_route_table.private")
    )
    network = plan.read()
    assert ask(network, "aws_instance.z", "8.8.8.8", 443) == network.notes.names["aws_nat_gateway.n"]
    assert ask(network, "aws_instance.z", "aws_instance.x", 443) == "ok"


# ---------------------------------------------------------------------- references
def test_count_and_for_each() -> None:
    plan = Plan().add("aws_vpc.main", cidr_block="10.0.0.0/16")
    for n in (0, 1):
        plan.add("aws_subnet.s", index=n, vpc_id=ref("aws_vpc.main"), cidr_block=f"10.0.{n}.0/24")
        plan.add("aws_instance.i", index=n, subnet_id={"references": ["aws_subnet.s", "count.index"]})
    plan.add("aws_instance.one", subnet_id={"references": ["aws_subnet.s[1].id", "aws_subnet.s[1]", "aws_subnet.s"]})
    world, names = (network := plan.read()).world, network.notes.names
    where = {e.attachment.instance_id: e.subnet_id for e in world.all(NETWORK_INTERFACE) if e.attachment}
    assert where[names["aws_instance.i[0]"]] == names["aws_subnet.s[0]"]
    assert where[names["aws_instance.i[1]"]] == names["aws_subnet.s[1]"]
    assert where[names["aws_instance.one"]] == names["aws_subnet.s[1]"]


def test_modules() -> None:
    """Through a variable into a module, and by an output out of it."""
    plan = Plan().add("aws_vpc.main", cidr_block="10.0.0.0/16")
    plan.add("aws_subnet.s", module="module.net", vpc_id={"references": ["var.vpc"]}, cidr_block="10.0.1.0/24")
    call = plan.config["module_calls"]["net"]
    call["expressions"]["vpc"] = ref("aws_vpc.main")
    call["module"]["outputs"]["subnet"] = {"expression": ref("aws_subnet.s")}
    plan.add("aws_instance.i", subnet_id={"references": ["module.net.subnet", "module.net"]})
    network = plan.read()
    assert network.notes.whole, network.notes.view()
    assert network.world.all(NETWORK_INTERFACE)[0].subnet_id == network.notes.names["module.net.aws_subnet.s"]
    assert network.world.all(SUBNET)[0].vpc_id == network.notes.names["aws_vpc.main"]


def test_a_reference_that_leads_nowhere_is_named() -> None:
    plan = base().add("aws_subnet.lost", vpc_id={"references": ["local.vpc"]}, cidr_block="10.0.9.0/24")
    network = plan.read()
    assert [p.element for p in network.notes.problems] == ["aws_subnet.lost"]
    assert ask(network, "aws_instance.x", "aws_instance.y", 443) == "aws_subnet.lost", "it may be a subnet of this VPC"


def test_rules_known_after_apply_are_named() -> None:
    plan = base().add("aws_security_group_rule.r", type="ingress", from_port=1, to_port=1, protocol="tcp",
                      security_group_id=ref("aws_security_group.web"), cidr_blocks={"references": ["data.http.me"]})  # fmt: skip
    assert [p.element for p in plan.read().notes.problems] == ["aws_security_group_rule.r"]


def test_types_that_are_not_understood_are_named() -> None:
    plan = base().add("aws_lb.l").add("aws_time_machine.t").add("aws_s3_bucket.b").add("random_id.r")
    notes = plan.read().notes
    assert notes.not_modelled == {"aws_lb.l": "aws_lb"}
    assert notes.unknown_resources == {"aws_time_machine": 1}


# ---------------------------------------------------------------------- states
def state() -> Values:
    """A raw state: everything has its id."""

    def resource(address: str, **attributes: Any) -> Values:
        type, name = address.split(".")
        return {"mode": "managed", "type": type, "name": name, "instances": [{"attributes": attributes}]}

    group, vpc, subnet = "sg-00000000000000001", "vpc-00000000000000001", "subnet-00000000000000001"
    rule = {"from_port": 443, "to_port": 443, "protocol": "tcp", "cidr_blocks": ["0.0.0.0/0"]}
    return {"version": 4, "terraform_version": "1.9.0", "resources": [
        resource("aws_vpc.main", id=vpc, cidr_block="10.0.0.0/16", owner_id="111122223333"),
        resource("aws_subnet.a", id=subnet, vpc_id=vpc, cidr_block="10.0.1.0/24", availability_zone="us-west-2b"),
        resource("aws_security_group.g", id=group, vpc_id=vpc, name="g", ingress=[rule], egress=[{**rule, "protocol": "-1"}]),
        *(resource(f"aws_instance.{n}", id=f"i-0000000000000000{n}", subnet_id=subnet, private_ip=f"10.0.1.{n}",
                   vpc_security_group_ids=[group], instance_state="running", primary_network_interface_id=f"eni-{n}")
          for n in (4, 5)),
    ]}  # fmt: skip


def test_a_state_without_the_defaults_of_its_vpc() -> None:
    """The default network ACL of a VPC that exists may be anything: unknown, unless the user takes it for granted."""
    network = imported({"terraform.tfstate": state()})
    assert ask(network, "i-00000000000000004", "i-00000000000000005", 443) in (
        "subnet-00000000000000001",
        "vpc-00000000000000001",
    )
    network = imported({"terraform.tfstate": state()}, assume_defaults=True)
    assert ask(network, "i-00000000000000004", "i-00000000000000005", 443) == "ok"
    assert ask(network, "i-00000000000000004", "i-00000000000000005", 22) == "sg-ingress"
    assert list(network.notes.assumed) == ["vpc-00000000000000001"]
    assert (network.world.all(VPC)[0].owner_id, network.world.all(VPC)[0].region) == ("111122223333", "us-west-2")


def test_a_state_as_terraform_shows_it() -> None:
    resources = [
        {"address": f"{r['type']}.{r['name']}", "mode": "managed", "type": r["type"], "name": r["name"],
         "values": r["instances"][0]["attributes"]} for r in state()["resources"]
    ]  # fmt: skip
    shown = {"format_version": "1.0", "terraform_version": "1.9.0", "values": {"root_module": {"resources": resources}}}
    one, two = (imported({"s": d}, assume_defaults=True).world for d in (shown, state()))
    assert compile_world(one).fragments == compile_world(two).fragments


@pytest.mark.parametrize(
    "document",
    [
        {"version": 3, "terraform_version": "0.11.0", "modules": []},
        {"format_version": "1.2", "planned_values": {}},
        {"version": 4, "terraform_version": "1.0", "resources": [7]},
    ],
)
def test_what_is_no_state_is_refused(document: Any) -> None:
    with pytest.raises(ImportProblem):
        imported({"s": document})


def test_damaged_values_are_named() -> None:
    document = state()
    document["resources"][1]["instances"][0]["attributes"]["cidr_block"] = 7
    document["resources"][2]["instances"][0]["attributes"]["ingress"] = "all"
    network = imported({"s": document}, assume_defaults=True)
    assert {"aws_subnet.a", "aws_security_group.g"} <= {p.element for p in network.notes.problems}


def test_local_values_are_taken_for_granted_only_when_told_so() -> None:
    """A plan does not tell local values, and public modules name their VPC by one."""
    plan = Plan().add("aws_vpc.main", cidr_block="10.0.0.0/16")
    plan.add("aws_subnet.a", vpc_id={"references": ["local.vpc_id"]}, cidr_block="10.0.1.0/24")
    assert [p.element for p in plan.read().notes.problems] == ["aws_subnet.a"]
    network = plan.read(assume_locals=True)
    assert network.notes.whole
    assert network.world.all(SUBNET)[0].vpc_id == network.notes.names["aws_vpc.main"]
    assert list(network.notes.assumed) == ["aws_subnet.a"]
    plan.add("aws_vpc.second", cidr_block="10.1.0.0/16")
    assert plan.read(assume_locals=True).notes.problems, "of two VPCs, none is the only one"


def test_rules_that_cannot_be_told_apart_are_named() -> None:
    """Blocks are a set, in no order: two that differ in nothing but whom they refer to cannot be put to their references."""
    plan = base().add("aws_security_group.one", vpc_id=ref("aws_vpc.main"), name="one")
    plan.add("aws_security_group.two", vpc_id=ref("aws_vpc.main"), name="two")
    rule = {"from_port": 22, "to_port": 22, "protocol": "tcp"}
    for name in ("one", "two"):
        plan.block("aws_security_group.web", "ingress", dict(rule), security_groups=ref(f"aws_security_group.{name}"))
    assert "aws_security_group.web" in {p.element for p in plan.read().notes.problems}


def test_rules_of_a_set_find_their_references() -> None:
    """Whatever order the values come in."""
    plan = base().add("aws_security_group.one", vpc_id=ref("aws_vpc.main"), name="one")
    for port, name in ((23, "one"), (22, "web")):
        rule = {"from_port": port, "to_port": port, "protocol": "tcp"}
        plan.block("aws_security_group.web", "ingress", rule, security_groups=ref(f"aws_security_group.{name}"))
    resource = next(r for r in plan.root["resources"] if r["address"] == "aws_security_group.web")
    resource["values"]["ingress"].reverse()
    network = plan.read()
    assert network.notes.whole, network.notes.view()
    assert ask(network, "aws_instance.x", "aws_instance.y", 22) == "ok"
    assert ask(network, "aws_instance.x", "aws_instance.y", 23) == "sg-ingress"


def test_plans_that_are_read_together_stay_apart() -> None:
    """Two projects that name their resources alike; the names of the second are told by its file."""
    network = imported({"one/plan.json": base().document, "two/plan.json": base().document})
    assert network.notes.whole, network.notes.view()
    assert invariants.check(network.world) == []
    assert (len(network.world.all(VPC)), len(network.world.all(NETWORK_INTERFACE))) == (2, 4)
    assert ask(network, "aws_instance.x", "aws_instance.y", 443) == "ok"
    assert ask(network, "two/plan.json:aws_instance.x", "two/plan.json:aws_instance.y", 443) == "ok"
    where = {eni.attachment.instance_id: eni.vpc_id for eni in network.world.all(NETWORK_INTERFACE) if eni.attachment}
    names = network.notes.names
    assert where[names["aws_instance.y"]] != where[names["two/plan.json:aws_instance.y"]]


def test_public_addresses_that_aws_will_choose_differ() -> None:
    plan = base()
    for n in range(300):
        plan.add(f"aws_eip.e{n}")
    addresses = [row.public_ip for row in plan.read().world.all(ELASTIC_IP)]
    assert len(set(addresses)) == 300
    assert not {*SERVED_AT} & {*addresses}


_LOCAL = {"references": ["local.these"]}


@pytest.mark.parametrize(
    ("address", "attributes"),
    [
        ("aws_instance.z", {"subnet_id": ref("aws_subnet.a"), "vpc_security_group_ids": _LOCAL}),
        ("aws_instance.z", {"subnet_id": ref("aws_subnet.a"), "vpc_security_group_ids": {
            "references": ["aws_security_group.web.id", "aws_security_group.web", "local.more"]}}),
        ("aws_network_interface.z", {"subnet_id": ref("aws_subnet.a"), "security_groups": _LOCAL}),
        ("aws_network_acl.z", {"vpc_id": ref("aws_vpc.main"), "subnet_ids": _LOCAL}),
        ("aws_eip.z", {"instance": _LOCAL}),
        ("aws_eip_association.z", {"allocation_id": _LOCAL, "instance_id": ref("aws_instance.x")}),
        ("aws_internet_gateway.z", {"vpc_id": _LOCAL}),
    ],
)  # fmt: skip
def test_what_a_reference_may_add_is_not_known(address: str, attributes: Values) -> None:
    """Never the default group or network ACL, or no address, in place of what a local value names."""
    network = base().add(address, **attributes).read()
    assert [p.element for p in network.notes.problems] == [address]
    assert ask(network, "aws_instance.x", "aws_instance.y", 443) == address


def test_a_rule_that_names_more_groups_than_are_told_is_not_known() -> None:
    plan = base()
    rule = {"from_port": 22, "to_port": 22, "protocol": "tcp"}
    names = {"references": ["aws_security_group.web.id", "aws_security_group.web", "local.more"]}
    plan.block("aws_security_group.web", "ingress", rule, security_groups=names)
    held = next(c for c in plan.changes if c["address"] == "aws_security_group.web")["change"]
    held["after_unknown"]["ingress"] = [{}, {"security_groups": True}]
    assert "aws_security_group.web" in {p.element for p in plan.read().notes.problems}


def test_a_plan_without_its_configuration_does_not_tell_groups() -> None:
    """They are known after apply: those that AWS gives by itself, or others."""
    plan = base()
    document = plan.document
    for resource in document["planned_values"]["root_module"]["resources"]:
        resource["values"]["id"] = f"{resource['name']}-{resource['type']}"
        if resource["type"] == "aws_instance":
            resource["values"]["subnet_id"] = "a-aws_subnet"
    assert "aws_instance.x" not in {p.element for p in imported({"p": document}).notes.problems}
    del document["configuration"]
    assert "aws_instance.x" in {p.element for p in imported({"p": document}).notes.problems}


def test_a_variable_that_nobody_sets_is_nothing() -> None:
    """A module's own default: then AWS's default group it is."""
    plan = base()
    plan.add("aws_instance.z", module="module.m", subnet_id={"references": ["var.subnet"]},
             vpc_security_group_ids={"references": ["var.groups"]})  # fmt: skip
    plan.config["module_calls"]["m"]["expressions"]["subnet"] = ref("aws_subnet.a")
    network = plan.read()
    assert network.notes.whole, network.notes.view()
    assert ask(network, "aws_instance.x", "module.m.aws_instance.z", 443) == "sg-ingress"
