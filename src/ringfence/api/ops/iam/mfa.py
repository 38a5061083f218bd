"""Virtual MFA devices (IAM User Guide: "Assign a virtual MFA device"; IAM-10): RFC 6238 codes, from a seed that is shown once.

A device is enabled by the codes of two consecutive time steps, which also tell how far its clock is off.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import segno

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import tagging
from ringfence.api.ops.iam.entities import caller_or, show_user, taken_arn, user
from ringfence.api.ops.iam.pages import instant, now, page
from ringfence.api.ops.iam.serve import iam
from ringfence.identity import totp
from ringfence.identity.credentials import mfa_purpose
from ringfence.model.errors import fault
from ringfence.model.kinds import MFA_DEVICE, USER
from ringfence.model.nouns.identity import MfaDevice, User
from ringfence.model.world import World, delete, put

SEED_BYTES = 40
#: steps around now in which codes are looked for: enabling forgives a slow clock, resynchronising one that is a day off
ENABLE_STEPS, RESYNC_STEPS = 4, 2880


def _find(call: Call, world: World, params: Params) -> MfaDevice:
    """ApiError NoSuchEntity."""
    serial = params["SerialNumber"]
    found = world.find(MFA_DEVICE, serial)
    if found is None or found.owner_id != call.account_id:
        raise fault("NoSuchEntity", message=f"VirtualMFADevice with serial number {serial} doesn't exist.")
    return found


def _of_user(call: Call, world: World, params: Params) -> tuple[MfaDevice, User]:
    """A device and the user it is enabled for. ApiError NoSuchEntity when it is not that user's."""
    found, owner = _find(call, world, params), caller_or(call, world, params)
    if owner is None or found.user_id != owner.id:
        raise fault("NoSuchEntity", message="MFA Device invalid for user.")
    return found, owner


def _step(call: Call, device: MfaDevice, params: Params, reach: int) -> int:
    """The step, by the device's clock, of the second of two codes in a row. ApiError InvalidAuthenticationCode."""
    seed = call.unseal(device.sealed, mfa_purpose(device.id))
    first, second = params["AuthenticationCode1"], params["AuthenticationCode2"]
    present = int(call.now.timestamp()) // totp.STEP_SECONDS
    for step in _outwards(present, reach):
        if totp.code_at(seed, step) == first and totp.code_at(seed, step + 1) == second and step > device.last_step:
            return step + 1
    raise fault("InvalidAuthenticationCode", message="Authentication code for device is not valid.")


def _outwards(middle: int, reach: int) -> Iterable[int]:
    """The numbers around `middle`, nearest first."""
    return sorted(range(max(0, middle - reach), middle + reach + 1), key=lambda step: abs(step - middle))


def _synchronised(call: Call, device: MfaDevice, step: int) -> MfaDevice:
    """The device after its clock was seen at `step`, the newest it can have reached."""
    present = int(call.now.timestamp()) // totp.STEP_SECONDS
    return replace(device, last_step=step, drift=step - present if abs(step - present) > 1 else 0)


def _show(world: World, device: MfaDevice) -> dict[str, Any]:
    owner = world.find(USER, device.user_id)
    shown: dict[str, Any] = {"SerialNumber": device.id} | tagging.member(device.tags)
    if owner is not None and device.enabled is not None:
        shown |= {"User": show_user(owner), "EnableDate": instant(device.enabled)}
    return shown


@iam("CreateVirtualMFADevice")
def create_virtual_mfa_device(call: Call, world: World, params: Params) -> Outcome:
    """A device with a new seed, as base32 text and as a QR code; both are in this reply and nowhere else."""
    name, path = params["VirtualMFADeviceName"], params.get("Path") or "/"
    serial = f"arn:aws:iam::{call.account_id}:mfa{path}{name}"
    if taken_arn(call, world, MFA_DEVICE, serial):
        raise fault("EntityAlreadyExists", message="MFADevice entity at the same path and name already exists.")
    seed = call.ids.number(SEED_BYTES * 8).to_bytes(SEED_BYTES, "big")
    text = base64.b32encode(seed).decode()
    made = MfaDevice(
        id=serial, **call.owned(), sealed=call.seal(seed, mfa_purpose(serial)),
        tags=tagging.parse(call, params.get("Tags") or ()),
    )  # fmt: skip
    picture = io.BytesIO()
    uri = (
        f"otpauth://totp/Amazon%20Web%20Services:{name}@{call.account_id}?secret={text}&issuer=Amazon%20Web%20Services"
    )
    segno.make_qr(uri).save(picture, kind="png", scale=4)
    secret = {"Base32StringSeed": text.encode(), "QRCodePNG": picture.getvalue()}
    return Outcome({"VirtualMFADevice": _show(world, made) | secret}, put(MFA_DEVICE, made))


@iam("EnableMFADevice")
def enable_mfa_device(call: Call, world: World, params: Params) -> Outcome:
    """EntityAlreadyExists when it is somebody's already, InvalidAuthenticationCode, LimitExceeded for a ninth device."""
    device, owner = _find(call, world, params), user(call, world, params["UserName"])
    if device.enabled is not None:
        raise fault("EntityAlreadyExists", message="MFA Device is already in use.")
    call.check_quota("iam-mfa-devices-per-user", world.count(MFA_DEVICE, "user", owner.id) + 1)
    step = _step(call, device, params, ENABLE_STEPS)
    enabled = replace(_synchronised(call, device, step), user_id=owner.id, enabled=now(call))
    held = replace(owner, mfa_devices=(*owner.mfa_devices, device.id))
    return Outcome({}, put(MFA_DEVICE, enabled) + put(USER, held))


@iam("ResyncMFADevice")
def resync_mfa_device(call: Call, world: World, params: Params) -> Outcome:
    """Takes two codes in a row from further away, and remembers how far the device's clock is off."""
    device, _ = _of_user(call, world, params)
    step = _step(call, device, params, RESYNC_STEPS)
    return Outcome({}, put(MFA_DEVICE, _synchronised(call, device, step)))


@iam("DeactivateMFADevice")
def deactivate_mfa_device(call: Call, world: World, params: Params) -> Outcome:
    """The device is nobody's again; it can be enabled anew, or deleted."""
    device, owner = _of_user(call, world, params)
    kept = tuple(serial for serial in owner.mfa_devices if serial != device.id)
    free = replace(device, user_id=None, enabled=None)
    return Outcome({}, put(MFA_DEVICE, free) + put(USER, replace(owner, mfa_devices=kept)))


@iam("DeleteVirtualMFADevice")
def delete_virtual_mfa_device(call: Call, world: World, params: Params) -> Outcome:
    """DeleteConflict while it is enabled."""
    device = _find(call, world, params)
    if device.enabled is not None:
        raise fault("DeleteConflict", message="MFA VirtualDevice in use. Must deactivate first.")
    return Outcome({}, delete(MFA_DEVICE, device.id))


@iam("ListMFADevices")
def list_mfa_devices(call: Call, world: World, params: Params) -> Outcome:
    """A user's devices; without a name, the caller's."""
    owner = caller_or(call, world, params)
    held = world.by(MFA_DEVICE, "user", owner.id) if owner is not None else []
    name = owner.name if owner is not None else ""
    devices, more = page(held, params, key=lambda device: device.id)
    shown = [{"UserName": name, "SerialNumber": d.id, "EnableDate": instant(d.enabled or 0)} for d in devices]
    return Outcome({"MFADevices": shown, **more})


@iam("ListVirtualMFADevices")
def list_virtual_mfa_devices(call: Call, world: World, params: Params) -> Outcome:
    status = params.get("AssignmentStatus") or "Any"
    wanted = {"Any": (True, False), "Assigned": (True,), "Unassigned": (False,)}[status]
    chosen = [device for device in call.mine(world, MFA_DEVICE) if (device.enabled is not None) in wanted]
    devices, more = page(chosen, params, key=lambda device: device.id)
    return Outcome({"VirtualMFADevices": [_show(world, device) for device in devices], **more})


@iam("GetMFADevice")
def get_mfa_device(call: Call, world: World, params: Params) -> Outcome:
    device = _find(call, world, params)
    owner = world.find(USER, device.user_id)
    if params.get("UserName"):
        device, owner = _of_user(call, world, params)
    shown: dict[str, Any] = {"SerialNumber": device.id}
    if owner is not None:
        shown |= {"UserName": owner.name, "EnableDate": instant(device.enabled or 0)}
    return Outcome(shown)


tagging.tag_operations("MFADevice", MFA_DEVICE, _find)
