"""Organizations, their roots, and the services that may work in their accounts (AWS Organizations User Guide)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.organizations.nodes import arn, members, node_arn, put_node, show_root
from ringfence.api.ops.organizations.serve import (
    Caller,
    invalid_input,
    letters,
    moment,
    now,
    organizations,
    own_organization,
    page,
)
from ringfence.identity.organization import DEFAULTS
from ringfence.model.accounts import account_of
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCOUNT_REQUEST, HANDSHAKE, ORGANIZATION, ORGANIZATION_POLICY, UNIT, Kind
from ringfence.model.nouns.organization import Account, Organization, PolicyType, ServiceAccess
from ringfence.model.world import NOTHING, Change, World, delete, put


def show(world: World, organization: Organization) -> dict[str, Any]:
    """`Organization` of the API. AvailablePolicyTypes is AWS's: deprecated, and names service control policies alone."""
    management = account_of(world, organization.owner_id)
    types = [{"Type": PolicyType.SERVICE_CONTROL.value, "Status": "ENABLED"}] if organization.all_features else []
    return {
        "Id": organization.id,
        "Arn": arn(organization, "organization", ""),
        "FeatureSet": "ALL" if organization.all_features else "CONSOLIDATED_BILLING",
        "MasterAccountArn": node_arn(organization, management),
        "MasterAccountId": management.id,
        "MasterAccountEmail": management.email,
        "AvailablePolicyTypes": types,
    }


@organizations("CreateOrganization", Caller.ANYONE)
def create_organization(call: Call, world: World, params: Params) -> Outcome:
    """The caller's account becomes the management account. ApiError AlreadyInOrganizationException.

    AWS, CreateOrganization: with all features, service control policies are enabled in the root.
    """
    management = account_of(world, call.account_id)
    if management.organization is not None:
        raise fault("AlreadyInOrganizationException")
    everything = params.get("FeatureSet", "ALL") == "ALL"
    types = (PolicyType.SERVICE_CONTROL.value,) if everything else ()
    policies = tuple(DEFAULTS[type].id for type in types)
    made = Organization(
        id=f"o-{letters(call.ids, 10)}", **call.owned(), root=f"r-{letters(call.ids, 4)}", created=now(call),
        all_features=everything, enabled=types, policies=policies,
    )  # fmt: skip
    joined = join(management, made, invited=True, at=now(call))  # AWS: the management account shows as INVITED
    change = put(ORGANIZATION, made) + put_node(joined)
    return Outcome({"Organization": show(world.apply(change), made)}, change)


def join(account: Account, organization: Organization, *, invited: bool, at: float) -> Account:
    """The account under the organization's root, with the policies that every new member gets."""
    return replace(
        account, organization=organization.id, parent=organization.root, invited=invited, joined=at,
        policies=tuple(DEFAULTS[type].id for type in organization.enabled),
    )  # fmt: skip


def leave(account: Account) -> Account:
    """The account on its own."""
    return replace(account, organization=None, parent=None, joined=None, invited=False, policies=(), tags=())


@organizations("DescribeOrganization", Caller.MEMBER)
def describe_organization(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({"Organization": show(world, own_organization(call, world))})


@organizations("DeleteOrganization")
def delete_organization(call: Call, world: World, params: Params) -> Outcome:
    """ApiError OrganizationNotEmptyException while it has members or units."""
    organization = own_organization(call, world)
    if len(members(world, organization)) > 1 or world.count(UNIT, "organization", organization.id):
        raise fault("OrganizationNotEmptyException")
    change = _swept(world, organization)
    return Outcome(
        {}, change + put_node(leave(account_of(world, call.account_id))) + delete(ORGANIZATION, organization.id)
    )


def _swept(world: World, organization: Organization) -> Change:
    """What goes with an organization: its policies, handshakes and requests."""
    change = NOTHING
    kinds: tuple[Kind[Any], ...] = (ORGANIZATION_POLICY, HANDSHAKE, ACCOUNT_REQUEST)
    for kind in kinds:
        change += delete(kind, *(row.id for row in world.by(kind, "organization", organization.id)))
    return change


@organizations("ListRoots")
def list_roots(call: Call, world: World, params: Params) -> Outcome:
    roots, more = page([show_root(own_organization(call, world))], params)
    return Outcome({"Roots": roots, **more})


# ---------------------------------------------------------------------- services
def _principal(params: Params) -> str:
    name = str(params["ServicePrincipal"])
    if not re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com", name):
        raise invalid_input("UNRECOGNIZED_SERVICE_PRINCIPAL", "You specified an unrecognized service principal.")
    return name


@organizations("EnableAWSServiceAccess")
def enable_service_access(call: Call, world: World, params: Params) -> Outcome:
    """ApiError ConstraintViolationException for an organization of consolidated billing, InvalidInputException."""
    organization, name = own_organization(call, world), _principal(params)
    if not organization.all_features:
        text = "The organization must have all features enabled."
        raise fault("ConstraintViolationException", message=text, reason="ORGANIZATION_NOT_IN_ALL_FEATURES_MODE")
    if any(access.principal == name for access in organization.services):
        return Outcome({})
    services = (*organization.services, ServiceAccess(principal=name, enabled=now(call)))
    return Outcome({}, put(ORGANIZATION, replace(organization, services=services)))


@organizations("DisableAWSServiceAccess")
def disable_service_access(call: Call, world: World, params: Params) -> Outcome:
    organization, name = own_organization(call, world), _principal(params)
    left = tuple(access for access in organization.services if access.principal != name)
    return Outcome({}, put(ORGANIZATION, replace(organization, services=left)))


@organizations("ListAWSServiceAccessForOrganization")
def list_service_access(call: Call, world: World, params: Params) -> Outcome:
    services, more = page(own_organization(call, world).services, params)
    shown = [{"ServicePrincipal": one.principal, "DateEnabled": moment(one.enabled)} for one in services]
    return Outcome({"EnabledServicePrincipals": shown, **more})


# ---------------------------------------------------------------------- what no organization here has
@organizations("ListDelegatedAdministrators")
def list_delegated_administrators(call: Call, world: World, params: Params) -> Outcome:
    """None: RegisterDelegatedAdministrator is not served."""
    return Outcome({"DelegatedAdministrators": []})


@organizations("DescribeResourcePolicy")
def describe_resource_policy(call: Call, world: World, params: Params) -> Outcome:
    """None: PutResourcePolicy is not served."""
    raise fault("ResourcePolicyNotFoundException")
