"""The credential report (IAM User Guide: "Generate credential reports for your AWS account"; DATA-11): AWS's columns, as CSV.

AWS: a report is made at most every four hours; until then the last one is given.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.access_keys import ROOT, keys_of
from ringfence.api.ops.iam.account import account
from ringfence.api.ops.iam.pages import instant, now
from ringfence.api.ops.iam.serve import iam
from ringfence.model.errors import fault
from ringfence.model.kinds import IAM_ACCOUNT, MFA_DEVICE, USER
from ringfence.model.nouns.identity import AccessKey, User
from ringfence.model.world import World, put

VALID_SECONDS = 4 * 3600
_KEY = ("active", "last_rotated", "last_used_date", "last_used_region", "last_used_service")
COLUMNS = (
    "user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed",
    "password_next_rotation", "mfa_active",
    *(f"access_key_{n}_{column}" for n in (1, 2) for column in _KEY),
    "cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
)  # fmt: skip
_NONE, _UNKNOWN, _UNSUPPORTED = "N/A", "no_information", "not_supported"


def _time(value: float | None, absent: str = _NONE) -> str:
    """AWS: here times end in +00:00."""
    return absent if value is None else datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")


def _flag(value: bool) -> str:
    return str(value).lower()


def _key(call: Call, key: AccessKey | None) -> list[str]:
    if key is None:
        return ["false", *[_NONE] * 4]
    use = call.uses.newest(key)
    used = [_NONE] * 3 if use is None else [_time(use.time), use.region, use.service]
    return [_flag(key.active), _time(key.created), *used]


def _keys(call: Call, keys: Sequence[AccessKey | None]) -> list[str]:
    first, second = [*keys, None, None][:2]
    return [*_key(call, first), *_key(call, second)]


_NO_CERTIFICATES = ["false", _NONE, "false", _NONE]


def _root(call: Call, world: World) -> list[str]:
    """The installation's root key is always active; when it was made is not known."""
    arn = f"arn:aws:iam::{call.account_id}:root"
    devices = [device for device in call.mine(world, MFA_DEVICE) if device.root and device.enabled is not None]
    own = ["true", *[_NONE] * 4]
    others = keys_of(call, world, None)
    return [
        ROOT, arn, _UNKNOWN, _UNSUPPORTED, _UNKNOWN, _UNSUPPORTED, _UNSUPPORTED, _flag(bool(devices)),
        *own, *_key(call, others[0] if others else None), *_NO_CERTIFICATES,
    ]  # fmt: skip


def _user(call: Call, world: World, user: User, age: int | None) -> list[str]:
    has = user.password_hash is not None
    rotation = user.password_set + age * 86_400 if user.password_set is not None and age else None
    return [
        user.name, USER.arn(user), _time(user.created), _flag(has), _UNKNOWN if has else _NONE,
        _time(user.password_set), _time(rotation), _flag(world.count(MFA_DEVICE, "user", user.id) > 0),
        *_keys(call, keys_of(call, world, user)), *_NO_CERTIFICATES,
    ]  # fmt: skip


def report(call: Call, world: World) -> str:
    """The report of now: a header, the root, and every user in order of creation."""
    age = dict(account(call, world).password_policy).get("MaxPasswordAge")
    rows: list[Any] = [COLUMNS, _root(call, world)]
    rows += [_user(call, world, user, int(age) if age else None) for user in call.mine(world, USER)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


@iam("GenerateCredentialReport")
def generate_credential_report(call: Call, world: World, params: Params) -> Outcome:
    """STARTED when a new one is made, COMPLETE when the last one is still valid."""
    held = account(call, world)
    if held.report_made is not None and now(call) - held.report_made < VALID_SECONDS:
        return Outcome({"State": "COMPLETE"})
    made = replace(held, report=report(call, world), report_made=now(call))
    text = "No report exists. Starting a new report generation task"
    return Outcome({"State": "STARTED", "Description": text}, put(IAM_ACCOUNT, made))


@iam("GetCredentialReport")
def get_credential_report(call: Call, world: World, params: Params) -> Outcome:
    """ReportNotPresent before the first, ReportExpired after four hours."""
    held = account(call, world)
    if held.report is None or held.report_made is None:
        raise fault("ReportNotPresent", message="No report exists")
    if now(call) - held.report_made >= VALID_SECONDS:
        raise fault("ReportExpired", message="The most recent credential report has expired")
    return Outcome(
        {"Content": held.report.encode(), "ReportFormat": "text/csv", "GeneratedTime": instant(held.report_made)}
    )
