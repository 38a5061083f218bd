"""The credentials of instances, as the metadata service shows them (Amazon EC2 User Guide: "Retrieve security credentials
from instance metadata"; IAM User Guide: "Troubleshoot IAM and Amazon EC2"; IAM-11, IAM-42).

Made here, in the API process: the agent that runs the metadata service asks for an instance's documents and passes them
on; it holds no sealing key. EC2 assumes the role as a service, so the role must trust `ec2.amazonaws.com`.

INVARIANT: every answer is that of the World of now: a role that is taken away, or trusts EC2 no longer, gives no more
credentials at once; those given out before last until they expire, or the role's sessions are revoked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.sts.issue import Issued, new_session
from ringfence.identity.question import Context
from ringfence.identity.roles import NotAllowed, Wanted, assume_as_service
from ringfence.identity.sealing import Sealer
from ringfence.model.clock import Clock
from ringfence.model.ids import IdSource
from ringfence.model.kinds import INSTANCE, INSTANCE_PROFILE, NETWORK_INTERFACE, ROLE
from ringfence.model.nouns.identity import Role
from ringfence.model.nouns.instance import RUNNABLE, Instance
from ringfence.model.row import Tags
from ringfence.model.world import World

SERVICE = "ec2.amazonaws.com"
SESSION_SECONDS = 6 * 3600
ROTATE_SECONDS = 3600  # AWS: new ones at least five minutes before the old ones expire
_INFO, _CREDENTIALS = "meta-data/iam/info", "meta-data/iam/security-credentials/"
_KEPT = 4096  # instances


class InstanceCredentials:
    """Credentials by instance and version of the metadata service; made when asked for, shown again until they rotate."""

    def __init__(self, world: Callable[[], World], sealer: Sealer, ids: IdSource, clock: Clock) -> None:
        self._world, self._sealer, self._ids, self._clock = world, sealer, ids, clock
        self._held: dict[tuple[str, str], tuple[Any, Issued]] = {}

    def documents(self, instance_id: str, *, version: int) -> dict[str, str]:
        """The iam/ part of an instance's metadata: path below /latest/ -> text. Empty without an instance profile.

        `version` of the metadata service that was asked: the session carries it as `ec2:RoleDelivery`.
        """
        world = self._world()
        instance = world.find(INSTANCE, instance_id)
        if instance is None or instance.state not in RUNNABLE or instance.iam_instance_profile is None:
            return {}
        profile = world.find(INSTANCE_PROFILE, instance.iam_instance_profile_id)
        if profile is None:
            text = f"Instance Profile {instance.iam_instance_profile} cannot be found."
            return {_INFO: self._failed("InstanceProfileNotFound", text)}
        arn, id = instance.iam_instance_profile, profile.id
        out = {_INFO: _document(self._now(), InstanceProfileArn=arn, InstanceProfileId=id)}
        role = world.find(ROLE, profile.role)
        return out | ({_CREDENTIALS + role.name: self._credentials(world, instance, role, version)} if role else {})

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    def _credentials(self, world: World, instance: Instance, role: Role, version: int) -> str:
        try:
            issued = self._current(world, instance, role, f"{version}.0")
        except NotAllowed:
            return self._failed("AssumeRoleUnauthorizedAccess", f"EC2 cannot assume the role {role.name}.")
        return _document(
            issued.session.issued_at, Type="AWS-HMAC", AccessKeyId=issued.credential.access_key_id,
            SecretAccessKey=issued.credential.secret, Token=issued.token,
            Expiration=_moment(issued.session.expires_at),
        )  # fmt: skip

    def _current(self, world: World, instance: Instance, role: Role, delivery: str) -> Issued:
        """Those shown last, unless it is time for others or the role became another one. NotAllowed."""
        key, facts = (instance.id, delivery), (role.id, role.trust, role.revoked_before, instance.iam_association_id)
        held = self._held.get(key)
        now = self._now()
        if held is not None and held[0] == facts and _good(held[1], role, now):
            return held[1]
        wanted = Wanted(name=instance.id, now=now, seconds=SESSION_SECONDS, keys=_keys(world, instance, delivery))
        context: Context = {"aws:sourceaccount": instance.owner_id, "aws:sourcearn": INSTANCE.arn(instance)}
        principal = assume_as_service(world, SERVICE, ROLE.arn(role), context, wanted)
        issued = new_session(self._sealer, self._ids, principal)
        if len(self._held) >= _KEPT:
            self._held.clear()
        self._held[key] = (facts, issued)
        return issued

    def _failed(self, code: str, message: str) -> str:
        return json.dumps({"Code": code, "Message": message, "LastUpdated": _moment(self._now())}, indent=2)


def _good(issued: Issued, role: Role, now: int) -> bool:
    """Young enough to be shown again, and not revoked: both in the second of a revocation would otherwise stay for an hour."""
    at = issued.session.issued_at
    return 0 <= now - at < ROTATE_SECONDS and (role.revoked_before is None or at >= role.revoked_before)


def _keys(world: World, instance: Instance, delivery: str) -> Tags:
    """What requests of the session carry (Service Authorization Reference: "Amazon EC2"; IAM User Guide: global keys)."""
    own = world.by(NETWORK_INTERFACE, "instance", instance.id)
    primary = next((eni for eni in own if eni.attachment and eni.attachment.device_index == 0), None)
    out = [
        ("ec2:roledelivery", delivery),
        ("ec2:sourceinstancearn", INSTANCE.arn(instance)),
        ("aws:ec2instancesourcevpc", instance.vpc_id),
    ]
    return (*out, ("aws:ec2instancesourceprivateipv4", str(primary.addresses[0]))) if primary else tuple(out)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _document(updated: int, **members: str) -> str:
    content: Mapping[str, str] = {"Code": "Success", "LastUpdated": _moment(updated), **members}
    return json.dumps(content, indent=2)
