"""The second factor of a call: serial number and one-time code (AWS STS API Reference: AssumeRole, GetSessionToken; IAM-10)."""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.context import Call, Params
from ringfence.identity import totp
from ringfence.identity.credentials import mfa_purpose
from ringfence.identity.principal import PrincipalKind
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import MFA_DEVICE
from ringfence.model.nouns.identity import MfaDevice
from ringfence.model.world import NOTHING, Change, World, put


def shown(call: Call, world: World, params: Params) -> tuple[bool, Change]:
    """Was a valid code shown? And the change that uses it up. ApiError AccessDenied for a wrong one."""
    serial, code = params.get("SerialNumber"), params.get("TokenCode")
    if serial is None and code is None:
        return False, NOTHING
    if serial is None or code is None:
        raise _failed("must provide both MFA serial number and one time pass code.")
    device = world.find(MFA_DEVICE, serial)
    if device is None or not _of_caller(call, device):
        raise _failed(
            "unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
        )
    seed = call.unseal(device.sealed, mfa_purpose(serial))
    by_device = call.now.timestamp() + device.drift * totp.STEP_SECONDS
    step = totp.matching_step(seed, code, by_device, device.last_step)
    if step is None:
        raise _failed("invalid MFA one time pass code.")
    return True, put(MFA_DEVICE, replace(device, last_step=step))


def _of_caller(call: Call, device: MfaDevice) -> bool:
    who = call.principal
    if device.owner_id != who.account_id or device.enabled is None:
        return False
    return device.root if who.is_root else who.kind is PrincipalKind.USER and device.user_id == who.user_id


def _failed(why: str) -> ApiError:
    return fault("AccessDenied", message=f"MultiFactorAuthentication failed, {why}")
