"""Service-linked roles (IAM User Guide: "Create a service-linked role"): named, trusted and permitted by AWS alone.

No part of this installation keeps such a role in use, so that a deletion is done when it is asked for.
"""

from __future__ import annotations

import json
from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.account import account
from ringfence.api.ops.iam.entities import role, taken
from ringfence.api.ops.iam.pages import now
from ringfence.api.ops.iam.roles import show_role
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.aws_managed import aws_managed
from ringfence.identity.identifiers import unique_id
from ringfence.model.errors import fault
from ringfence.model.kinds import IAM_ACCOUNT, ROLE
from ringfence.model.nouns.identity import Role
from ringfence.model.world import World, delete, put

#: service -> what follows AWSServiceRoleFor, and its policy ("AWS services that work with IAM", read 2026-11)
SERVICES: dict[str, tuple[str, str]] = {
    "access-analyzer": ("AccessAnalyzer", "AccessAnalyzerServiceRolePolicy"),
    "autoscaling": ("AutoScaling", "AutoScalingServiceRolePolicy"),
    "cloudtrail": ("CloudTrail", "CloudTrailServiceRolePolicy"),
    "config": ("Config", "AWSConfigServiceRolePolicy"),
    "custom-resource.application-autoscaling": (
        "ApplicationAutoScaling_CustomResource",
        "AWSApplicationAutoscalingCustomResourcePolicy",
    ),
    "delivery.logs": ("LogDelivery", "AWSServiceRoleForLogDeliveryPolicy"),
    "ec2fleet": ("EC2Fleet", "AWSEC2FleetServiceRolePolicy"),
    "ecs": ("ECS", "AmazonECSServiceRolePolicy"),
    "eks": ("AmazonEKS", "AmazonEKSServiceRolePolicy"),
    "elasticbeanstalk": ("ElasticBeanstalk", "AWSElasticBeanstalkServiceRolePolicy"),
    "elasticloadbalancing": ("ElasticLoadBalancing", "AWSElasticLoadBalancingServiceRolePolicy"),
    "guardduty": ("AmazonGuardDuty", "AmazonGuardDutyServiceRolePolicy"),
    "ipam": ("IPAM", "AWSIPAMServiceRolePolicy"),
    "network-firewall": ("NetworkFirewall", "AWSNetworkFirewallServiceRolePolicy"),
    "networkmanager": ("NetworkManager", "AWSNetworkManagerServiceRolePolicy"),
    "organizations": ("Organizations", "AWSOrganizationsServiceTrustPolicy"),
    "ram": ("ResourceAccessManager", "AWSResourceAccessManagerServiceRolePolicy"),
    "rds": ("RDS", "AmazonRDSServiceRolePolicy"),
    "s2svpn": ("VPCS2SVPN", "AWSVPCS2SVpnServiceRolePolicy"),
    "spot": ("EC2Spot", "AWSEC2SpotServiceRolePolicy"),
    "spotfleet": ("EC2SpotFleet", "AWSEC2SpotFleetServiceRolePolicy"),
    "ssm": ("AmazonSSM", "AmazonSSMServiceRolePolicy"),
    "support": ("Support", "AWSSupportServiceRolePolicy"),
    "transitgateway": ("VPCTransitGateway", "AWSVPCTransitGatewayServiceRolePolicy"),
    "trustedadvisor": ("TrustedAdvisor", "AWSTrustedAdvisorServiceRolePolicy"),
    "vpc-lattice": ("VpcLattice", "AWSVpcLatticeServiceRolePolicy"),
}
#: services of which an account may have several roles
_SUFFIXED = frozenset({"autoscaling"})
_TASKS = 100  # deletions that are remembered
_DOMAIN = ".amazonaws.com"


def _trust(service: str) -> str:
    statement = {"Action": ["sts:AssumeRole"], "Effect": "Allow", "Principal": {"Service": [service]}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


@iam("CreateServiceLinkedRole")
def create_service_linked_role(call: Call, world: World, params: Params) -> Outcome:
    """InvalidInput for an unknown service, a suffix where there is none, and a role that exists."""
    service, suffix = params["AWSServiceName"], params.get("CustomSuffix")
    key = service.removesuffix(_DOMAIN)
    if key == service or key not in SERVICES:
        raise fault("InvalidInput", message=f"Service {service} is not known to have service-linked roles.")
    title, policy = SERVICES[key]
    if suffix and key not in _SUFFIXED:
        raise fault("InvalidInput", message=f"Custom suffix is not allowed for {service}")
    name = f"AWSServiceRoleFor{title}" + (f"_{suffix}" if suffix else "")
    if taken(world, ROLE, call.account_id, name):
        text = f"Service role name {name} has been taken in this account, please try a different suffix."
        raise fault("InvalidInput", message=text)
    arn = f"arn:aws:iam::aws:policy/aws-service-role/{policy}"
    made = Role(
        id=unique_id(call.ids, "AROA"), **call.owned(), name=name, path=f"/aws-service-role/{service}/",
        created=now(call), trust=_trust(service), description=params.get("Description"), service_linked=service,
        managed=(arn,) if arn in aws_managed() else (),
    )  # fmt: skip
    return Outcome({"Role": show_role(made)}, put(ROLE, made))


@iam("DeleteServiceLinkedRole")
def delete_service_linked_role(call: Call, world: World, params: Params) -> Outcome:
    """InvalidInput for a role that is no service's."""
    found = role(call, world, params["RoleName"])
    if found.service_linked is None:
        raise fault("InvalidInput", message=f"The role {found.name} is not a service-linked role.")
    task = f"task{found.path}{found.name}/{call.ids.uuid()}"
    held = account(call, world)
    remembered = replace(held, deletion_tasks=(*held.deletion_tasks, task)[-_TASKS:])
    return Outcome({"DeletionTaskId": task}, delete(ROLE, found.id) + put(IAM_ACCOUNT, remembered))


@iam("GetServiceLinkedRoleDeletionStatus")
def get_deletion_status(call: Call, world: World, params: Params) -> Outcome:
    task = params["DeletionTaskId"]
    if task not in account(call, world).deletion_tasks:
        raise fault("NoSuchEntity", message=f"The deletion task {task} cannot be found.")
    return Outcome({"Status": "SUCCEEDED"})
