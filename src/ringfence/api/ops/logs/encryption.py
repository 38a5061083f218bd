"""Log groups with a key of KMS (CloudWatch Logs API Reference: AssociateKmsKey, DisassociateKmsKey; User Guide, "Encrypt log data in
CloudWatch Logs using AWS Key Management Service"; DATA-05, docs/adr/0014).

The service asks KMS as itself, `logs.REGION.amazonaws.com`, with the group's ARN in the encryption context: the key's policy must let
it in, for every batch that is put and for every call that reads. What was put before a key came stays as it is; what was put
with a key stays sealed when another comes or it goes.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

from ringfence.api import data_keys
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs.serve import find_group, invalid, logs, milliseconds
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import LOG_GROUP
from ringfence.model.nouns.log import LogGroup
from ringfence.model.world import World, put
from ringfence.store.sealed import Damaged, DataKey, Opener

log = logging.getLogger("ringfence.logs")
KEY_MS = 86_400_000  # how long a data key is used for new messages
_ARN = re.compile(r"arn:aws:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
_GROUP = re.compile(r"arn:aws:logs:([a-z0-9-]+):([0-9]{12}):log-group:([^:*]+)(:\*)?")


@logs("AssociateKmsKey")
def associate_kms_key(call: Call, world: World, params: Params) -> Outcome:
    """For what is put from now on. ResourceNotFoundException, InvalidParameterException, AccessDeniedException."""
    group = _target(call, world, params)
    return Outcome({}, put(LOG_GROUP, replace(group, kms_key=checked_key(call, world, params["kmsKeyId"], group.id))))


@logs("DisassociateKmsKey")
def disassociate_kms_key(call: Call, world: World, params: Params) -> Outcome:
    """AWS: what was sealed stays so, and the key is needed to read it."""
    return Outcome({}, put(LOG_GROUP, replace(_target(call, world, params), kms_key=None)))


def _target(call: Call, world: World, params: Params) -> LogGroup:
    name, resource = params.get("logGroupName"), params.get("resourceIdentifier")
    if (name is None) == (resource is None):
        raise invalid("Either logGroupName or resourceIdentifier must be specified, not both.")
    if name is not None:
        return find_group(call, world, name)
    found = _GROUP.fullmatch(str(resource))
    if found is None:
        raise fault("UnsupportedOperation", message="Results of queries are not kept by this installation.")
    if (found[1], found[2]) != (call.region, call.account_id):
        raise fault("ResourceNotFoundException", message="The specified log group does not exist.")
    return find_group(call, world, found[3])


def checked_key(call: Call, world: World, named: str, group: str) -> str:
    """The ARN of a key that the service may use for a group. ApiError InvalidParameterException, AccessDeniedException."""
    found = _ARN.fullmatch(named)
    if found is None or found[1] != call.region:
        raise invalid("The specified KMS Key Id could not be found: it must be the ARN of a key of this Region.")
    with _told(group):
        data_keys.arn_of(world, named, region=call.region, account_id=call.account_id, now=call.now)
        return data_keys.check(_asker(call, world, group), named, _context(group), ("GenerateDataKey", "Decrypt"))


# ---------------------------------------------------------------------- messages
def key_for(call: Call, world: World, group: LogGroup) -> DataKey | None:
    """What a batch is sealed with; None: it is not. ApiError when the group's key cannot be used."""
    if group.kms_key is None:
        return None
    keys, now = call.outside.logs.keys, milliseconds(call)
    with _told(group.id):
        held = keys.newest(group.id, group.kms_key, now - KEY_MS)
        if held is not None:
            data_keys.check(_asker(call, world, group.id), group.kms_key, _context(group.id))
            return held
        made = data_keys.generate(_asker(call, world, group.id), group.kms_key, _context(group.id))
    return keys.add(group.id, group.kms_key, made.sealed, made.plain, now)


def opener(call: Call, world: World, group: LogGroup) -> Opener | None:
    """What opens the group's sealed messages; None: it has none. It raises ApiError when a key cannot be used."""
    keys = call.outside.logs.keys
    if not keys.has(group.id) and group.kms_key is None:
        return None
    allowed = set[str]()

    def secret_of(id: int) -> bytes:
        kept = keys.find(id)
        if kept is None or kept.group != group.id:
            raise Damaged("the data key of a message is not here")
        with _told(group.id):
            secret = keys.opened(id)
            if secret is None:
                secret = data_keys.open(_asker(call, world, group.id), kept.sealed, _context(group.id))
                keys.keep_opened(id, secret)
            elif kept.arn not in allowed:
                data_keys.check(_asker(call, world, group.id), kept.arn, _context(group.id), ("Decrypt",))
        allowed.add(kept.arn)
        return secret

    return Opener(secret_of)


def check_readable(call: Call, world: World, group: LogGroup) -> None:
    """May the service open what is put into the group now? ApiError when its key cannot be used."""
    if group.kms_key is not None:
        with _told(group.id):
            data_keys.check(_asker(call, world, group.id), group.kms_key, _context(group.id), ("Decrypt",))


@contextlib.contextmanager
def reading(group: LogGroup) -> Iterator[None]:
    """What is damaged is an error with a name. ApiError ServiceUnavailableException."""
    try:
        yield
    except Damaged as problem:
        log.critical("events of %s cannot be read: %s", group.id, problem)
        text = "Stored log events are not what was written: they cannot be shown."
        raise fault("ServiceUnavailableException", message=text) from None


def _context(group: str) -> dict[str, str]:
    return {"aws:logs:arn": group}


def _asker(call: Call, world: World, group: str) -> data_keys.Asker:
    return data_keys.for_service(
        world=world, sealer=call.sealer, ids=call.ids, now=call.now, region=call.region, audit=call.witness,
        name=f"logs.{call.region}.amazonaws.com", source_arn=group, source_account=call.account_id,
    )  # fmt: skip


@contextlib.contextmanager
def _told(group: str) -> Iterator[None]:
    """KMS's refusals in the words of CloudWatch Logs."""
    try:
        with data_keys.told_by("logs"):
            yield
    except ApiError as error:
        if error.code != "AccessDeniedException":
            raise
        text = f"The specified KMS key does not exist or is not allowed to be used with LogGroup '{group}'"
        raise fault("AccessDeniedException", message=text) from None
