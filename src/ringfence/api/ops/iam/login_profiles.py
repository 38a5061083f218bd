"""Login profiles: a user's password (IAM User Guide: "Manage passwords for IAM users").

There is no console here; the password serves ChangePassword and the reports. Only its scrypt hash is kept (DATA-04).
"""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.account import account
from ringfence.api.ops.iam.entities import caller_or, user
from ringfence.api.ops.iam.pages import instant, now
from ringfence.api.ops.iam.serve import iam
from ringfence.identity import passwords
from ringfence.identity.principal import PrincipalKind
from ringfence.model.errors import fault
from ringfence.model.kinds import USER
from ringfence.model.nouns.identity import User
from ringfence.model.world import World, put


def _having(call: Call, world: World, params: Params) -> User:
    """The user of a call, with a login profile. ApiError NoSuchEntity."""
    found = caller_or(call, world, params)
    if found is None or found.password_hash is None:
        name = found.name if found else call.account_id
        raise fault("NoSuchEntity", message=f"Login Profile for User {name} cannot be found.")
    return found


def _show(found: User) -> dict[str, object]:
    return {
        "UserName": found.name,
        "CreateDate": instant(found.profile_created or found.created),
        "PasswordResetRequired": found.password_reset_required,
    }


def _with_password(call: Call, world: World, found: User, password: str) -> User:
    """The user with another password. ApiError PasswordPolicyViolation."""
    policy = dict(account(call, world).password_policy)
    wrong = passwords.violation(password, policy, call.account_id)
    if wrong is not None:
        raise fault("PasswordPolicyViolation", message=wrong)
    kept = int(policy.get("PasswordReusePrevention", "0"))
    before = tuple(held for held in (found.password_hash, *found.password_history) if held)[:kept]
    if any(passwords.matches(password, held, approved=call.approved_only) for held in before):
        raise fault("PasswordPolicyViolation", message="Password was used before and cannot be used again")
    kept_hash = passwords.hashed(password, call.ids, approved=call.approved_only)
    return replace(found, password_hash=kept_hash, password_set=now(call), password_history=before)


@iam("CreateLoginProfile")
def create_login_profile(call: Call, world: World, params: Params) -> Outcome:
    """EntityAlreadyExists, PasswordPolicyViolation."""
    found = caller_or(call, world, params)
    if found is None:
        raise fault("ValidationError", message="The account's root has no login profile")
    if found.password_hash is not None:
        raise fault("EntityAlreadyExists", message=f"Login Profile for user {found.name} already exists.")
    if not params.get("Password"):
        raise fault("ValidationError", message="1 validation error detected: Value at 'password' must not be null")
    made = replace(
        _with_password(call, world, found, params["Password"]), profile_created=now(call),
        password_reset_required=bool(params.get("PasswordResetRequired")),
    )  # fmt: skip
    return Outcome({"LoginProfile": _show(made)}, put(USER, made))


@iam("GetLoginProfile")
def get_login_profile(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({"LoginProfile": _show(_having(call, world, params))})


@iam("UpdateLoginProfile")
def update_login_profile(call: Call, world: World, params: Params) -> Outcome:
    """Another password, or another answer to whether it must be changed at the next sign-in."""
    found = _having(call, world, params)
    if params.get("Password") is not None:
        found = _with_password(call, world, found, params["Password"])
    must = params.get("PasswordResetRequired", found.password_reset_required)
    return Outcome({}, put(USER, replace(found, password_reset_required=bool(must))))


@iam("DeleteLoginProfile")
def delete_login_profile(call: Call, world: World, params: Params) -> Outcome:
    found = _having(call, world, params)
    gone = replace(
        found, password_hash=None, password_set=None, password_reset_required=False, password_history=(),
        profile_created=None,
    )  # fmt: skip
    return Outcome({}, put(USER, gone))


@iam("ChangePassword")
def change_password(call: Call, world: World, params: Params) -> Outcome:
    """The caller's own password. InvalidUserType for who is no user, AccessDenied for a wrong old password."""
    if call.principal.kind is not PrincipalKind.USER:
        raise fault("InvalidUserType", message="Only IAM Users can change their own password.")
    found = _having(call, world, {"UserName": user(call, world, call.principal.name).name})
    if not passwords.matches(params["OldPassword"], found.password_hash or "", approved=call.approved_only):
        raise fault("AccessDenied", message="The old password was incorrect.")
    changed = _with_password(call, world, found, params["NewPassword"])
    return Outcome({}, put(USER, replace(changed, password_reset_required=False)))
