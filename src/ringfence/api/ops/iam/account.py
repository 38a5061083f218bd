"""The account as a whole: alias, password policy, summary (IAM API Reference: CreateAccountAlias,
UpdateAccountPasswordPolicy, GetAccountSummary)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.pages import page
from ringfence.api.ops.iam.serve import iam
from ringfence.model.errors import fault
from ringfence.model.kinds import (
    ACCESS_KEY,
    GROUP,
    IAM_ACCOUNT,
    INSTANCE_PROFILE,
    MANAGED_POLICY,
    MFA_DEVICE,
    OIDC_PROVIDER,
    ROLE,
    SAML_PROVIDER,
    USER,
    Kind,
)
from ringfence.model.nouns.identity import IamAccount
from ringfence.model.quotas import INLINE_POLICY_SIZE, POLICY_VERSIONS
from ringfence.model.world import World, put

_FLAGS = (
    "RequireSymbols",
    "RequireNumbers",
    "RequireUppercaseCharacters",
    "RequireLowercaseCharacters",
    "AllowUsersToChangePassword",
)
_NUMBERS = ("MaxPasswordAge", "PasswordReusePrevention")


def account(call: Call, world: World) -> IamAccount:
    """What IAM keeps for the caller's account."""
    found = world.find(IAM_ACCOUNT, call.account_id)
    return found or IamAccount(id=call.account_id, **call.owned())


# ---------------------------------------------------------------------- alias
@iam("CreateAccountAlias")
def create_account_alias(call: Call, world: World, params: Params) -> Outcome:
    """AWS: one alias an account; another takes its place. EntityAlreadyExists when it is another account's."""
    alias = params["AccountAlias"]
    if any(other.alias == alias and other.id != call.account_id for other in world.all(IAM_ACCOUNT)):
        raise fault("EntityAlreadyExists", message=f"The account alias {alias} already exists.")
    return Outcome({}, put(IAM_ACCOUNT, replace(account(call, world), alias=alias)))


@iam("DeleteAccountAlias")
def delete_account_alias(call: Call, world: World, params: Params) -> Outcome:
    held = account(call, world)
    if held.alias != params["AccountAlias"]:
        text = f"The Account Alias with name {params['AccountAlias']} cannot be found."
        raise fault("NoSuchEntity", message=text)
    return Outcome({}, put(IAM_ACCOUNT, replace(held, alias=None)))


@iam("ListAccountAliases")
def list_account_aliases(call: Call, world: World, params: Params) -> Outcome:
    alias = account(call, world).alias
    aliases, more = page([alias] if alias else [], params, key=lambda name: name)
    return Outcome({"AccountAliases": list(aliases), **more})


# ---------------------------------------------------------------------- password policy
@iam("UpdateAccountPasswordPolicy")
def update_account_password_policy(call: Call, world: World, params: Params) -> Outcome:
    """AWS: a parameter that is not given goes back to its default."""
    policy = {name: str(bool(params.get(name, False))).lower() for name in _FLAGS}
    policy["MinimumPasswordLength"] = str(params.get("MinimumPasswordLength", 6))
    policy |= {name: str(params[name]) for name in _NUMBERS if params.get(name)}
    if params.get("HardExpiry") is not None:
        policy["HardExpiry"] = str(params["HardExpiry"]).lower()
    return Outcome({}, put(IAM_ACCOUNT, replace(account(call, world), password_policy=tuple(policy.items()))))


@iam("GetAccountPasswordPolicy")
def get_account_password_policy(call: Call, world: World, params: Params) -> Outcome:
    held = _policy(call, world)
    shown: dict[str, Any] = {
        name: value == "true" if value in ("true", "false") else int(value) for name, value in held.items()
    }
    return Outcome({"PasswordPolicy": shown | {"ExpirePasswords": "MaxPasswordAge" in held}})


@iam("DeleteAccountPasswordPolicy")
def delete_account_password_policy(call: Call, world: World, params: Params) -> Outcome:
    _policy(call, world)
    return Outcome({}, put(IAM_ACCOUNT, replace(account(call, world), password_policy=())))


def _policy(call: Call, world: World) -> dict[str, str]:
    held = dict(account(call, world).password_policy)
    if not held:
        text = f"The Password Policy with domain name {call.account_id} cannot be found."
        raise fault("NoSuchEntity", message=text)
    return held


# ---------------------------------------------------------------------- summary
@iam("GetAccountSummary")
def get_account_summary(call: Call, world: World, params: Params) -> Outcome:
    """What there is, and what there may be. The root key of the installation always exists."""

    def count(kind: Kind[Any]) -> int:
        return world.count_owned(kind, call.account_id, call.region)

    devices, policies, limits = call.mine(world, MFA_DEVICE), call.mine(world, MANAGED_POLICY), call.limits
    root_devices = sum(1 for device in devices if device.root and device.enabled is not None)
    summary = {
        "Users": count(USER),
        "UsersQuota": limits["iam-users"],
        "Groups": count(GROUP),
        "GroupsQuota": limits["iam-groups"],
        "GroupsPerUserQuota": limits["iam-groups-per-user"],
        "Roles": count(ROLE),
        "RolesQuota": limits["iam-roles"],
        "InstanceProfiles": count(INSTANCE_PROFILE),
        "InstanceProfilesQuota": limits["iam-instance-profiles"],
        "Policies": len(policies),
        "PoliciesQuota": limits["iam-policies"],
        "PolicySizeQuota": limits["iam-policy-size"],
        "PolicyVersionsInUse": sum(len(policy.versions) for policy in policies),
        "PolicyVersionsInUseQuota": 10_000,
        "VersionsPerPolicyQuota": POLICY_VERSIONS,
        "AttachedPoliciesPerUserQuota": limits["iam-policies-per-user"],
        "AttachedPoliciesPerGroupQuota": limits["iam-policies-per-group"],
        "AttachedPoliciesPerRoleQuota": limits["iam-policies-per-role"],
        "UserPolicySizeQuota": INLINE_POLICY_SIZE["user"],
        "GroupPolicySizeQuota": INLINE_POLICY_SIZE["group"],
        "RolePolicySizeQuota": INLINE_POLICY_SIZE["role"],
        "AssumeRolePolicySizeQuota": limits["iam-trust-policy-size"],
        "AccessKeysPerUserQuota": limits["iam-access-keys-per-user"],
        "AccountAccessKeysPresent": 1 + sum(key.user_id is None for key in call.mine(world, ACCESS_KEY)),
        "AccountMFAEnabled": min(root_devices, 1),
        "AccountPasswordPresent": 0,
        "AccountSigningCertificatesPresent": 0,
        "SigningCertificatesPerUserQuota": 2,
        "ServerCertificates": 0,
        "ServerCertificatesQuota": 20,
        "MFADevices": len(devices),
        "MFADevicesInUse": sum(device.enabled is not None for device in devices),
        "Providers": count(OIDC_PROVIDER) + count(SAML_PROVIDER),
        "GlobalEndpointTokenVersion": 2,
    }
    return Outcome({"SummaryMap": summary})
