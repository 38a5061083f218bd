"""Log groups with a key of KMS (DATA-05, docs/adr/0014): sealed on the disk, readable as long as the key's policy says so."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ringfence import expiry
from ringfence.store.events import EventStore
from tests.api.front import ACCOUNT
from tests.api.ops.logs.lab import ARN, FLOW, Lab, code

REGION = "us-east-1"
SERVICE = f"logs.{REGION}.amazonaws.com"
SECRET = "the secret 10.1.2.3 that must not be found"


def policy(principal: Any, actions: Any = "kms:*", **tests: Any) -> str:
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    condition = {"Condition": tests} if tests else {}
    other = {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*", **condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [own, other]})


#: the guide's: the service, for the groups of this account
GUIDE = policy(
    {"Service": SERVICE}, ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
    ArnLike={"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:*"},
)  # fmt: skip


class KeyLab(Lab):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder, self.kms = folder, self.front.client("kms")

    def key(self, document: str = GUIDE) -> str:
        return str(self.kms.create_key(Policy=document)["KeyMetadata"]["Arn"])

    def raw(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.glob("events.db*"))

    def got(self, **more: Any) -> list[str]:
        found = self.logs.get_log_events(logGroupName="flows", logStreamName="eni", startFromHead=True, **more)
        return [event["message"] for event in found["events"]]

    def shown(self) -> str | None:
        return self.logs.describe_log_groups()["logGroups"][0].get("kmsKeyId")

    def asked(self) -> list[str]:
        """What KMS was asked by the service."""
        records = [r for r in self.front.audit() if r["eventSource"] == "kms.amazonaws.com"]
        return [r["eventName"] for r in records if r["userIdentity"].get("invokedBy") == SERVICE]

    def restart(self) -> None:
        self.events.close()
        self.events = EventStore(self.folder / "events.db", durable=False)
        self.front.pipeline.outside.logs = self.events  # type: ignore[misc]


@pytest.fixture
def lab(tmp_path: Path) -> KeyLab:
    return KeyLab(tmp_path)


def test_messages_are_sealed_found_and_read_again_by_the_next_process(lab: KeyLab) -> None:
    arn = lab.key()
    lab.group(kmsKeyId=arn)
    assert lab.shown() == arn
    lines = [FLOW.format(port=port, bytes=100, action="REJECT" if port == 22 else "ACCEPT") for port in (22, 80, 443)]
    lab.say(SECRET, "ü" * 10, *lines)
    assert b"secret" not in lab.raw()
    assert b"172.31.16.21" not in lab.raw()  # the log that is written ahead too
    assert lab.got() == [SECRET, "ü" * 10, *lines]
    assert lab.found("secret") == [SECRET]
    assert lab.found("[v, a, eni, s, d, sp, dport=22, ...]") == lines[:1]
    assert lab.found("REJECT -22") == []
    stored = lab.logs.describe_log_groups()["logGroups"][0]["storedBytes"]
    assert stored == sum(len(text.encode()) + 26 for text in (SECRET, "ü" * 10, *lines))
    assert lab.asked() == ["GenerateDataKey"]
    lab.restart()
    assert lab.got()[0] == SECRET
    assert lab.asked() == ["GenerateDataKey", "Decrypt"]
    lab.say("again")
    assert lab.got()[-1] == "again"
    assert b"secret" not in lab.raw()


def test_a_key_holds_for_what_comes_after_it(lab: KeyLab) -> None:
    """AWS: what was there stays as it was; disassociated, what was sealed still needs its key."""
    first, second = lab.key(), lab.key()
    lab.group()
    lab.say("before")
    lab.logs.associate_kms_key(logGroupName="flows", kmsKeyId=first)
    lab.say("by the first")
    lab.logs.associate_kms_key(resourceIdentifier=f"{ARN}flows", kmsKeyId=second)
    assert lab.shown() == second
    lab.say("by the second")
    lab.logs.disassociate_kms_key(logGroupName="flows")
    assert lab.shown() is None
    lab.say("after")
    assert lab.got() == ["before", "by the first", "by the second", "after"]
    assert lab.found("the") == ["by the first", "by the second"]
    assert (b"before" in lab.raw(), b"after" in lab.raw(), b"by the" in lab.raw()) == (True, True, False)
    lab.kms.disable_key(KeyId=first)
    assert code(lab.logs.filter_log_events, logGroupName="flows") == "InvalidParameterException"
    lab.say("still")
    assert lab.got(limit=1) == ["before"]


@pytest.mark.parametrize(
    ("spoil", "mend", "put", "read"),
    [(("disable_key", {}), ("enable_key", {}), "InvalidParameterException", "InvalidParameterException"),
     (("schedule_key_deletion", {}), None, "InvalidParameterException", "InvalidParameterException"),
     (("put_key_policy", {"Policy": policy({"Service": "ec2.amazonaws.com"})}), ("put_key_policy", {"Policy": GUIDE}),
      "AccessDeniedException", "AccessDeniedException"),
     (("put_key_policy", {"Policy": policy({"Service": SERVICE}, "kms:GenerateDataKey")}), ("put_key_policy", {"Policy": GUIDE}),
      None, "AccessDeniedException")],
)  # fmt: skip
def test_without_its_key_nothing_is_taken_and_nothing_shown(
    lab: KeyLab, spoil: Any, mend: Any, put: str | None, read: str
) -> None:
    arn = lab.key()
    lab.group(kmsKeyId=arn)
    lab.say(SECRET)
    getattr(lab.kms, spoil[0])(KeyId=arn, **spoil[1])
    event = {"timestamp": lab.now, "message": "more"}
    if put is not None:
        assert code(lab.logs.put_log_events, logGroupName="flows", logStreamName="eni", logEvents=[event]) == put
    for _ in range(2):
        assert code(lab.logs.get_log_events, logGroupName="flows", logStreamName="eni") == read
        assert code(lab.logs.filter_log_events, logGroupName="flows", filterPattern="secret") == read
        lab.restart()  # a key in memory makes no difference
    if mend is not None:
        getattr(lab.kms, mend[0])(KeyId=arn, **mend[1])
        assert lab.got() == [SECRET]  # and what was refused is not there


@pytest.mark.parametrize(
    ("named", "error"),
    [("alias/x", "InvalidParameterException"), ("arn:aws:kms:eu-west-1:123456789012:key/1", "InvalidParameterException"),
     ("arn:aws:kms:us-east-1:123456789012:key/1", "InvalidParameterException"), ("disabled", "InvalidParameterException"),
     ("closed", "AccessDeniedException"), ("of others", "AccessDeniedException")],
)  # fmt: skip
def test_keys_that_cannot_be_associated(lab: KeyLab, named: str, error: str) -> None:
    others = policy({"Service": SERVICE}, ArnLike={"kms:EncryptionContext:aws:logs:arn": f"{ARN}others"})
    known = {"disabled": GUIDE, "closed": policy({"Service": "s3.amazonaws.com"}), "of others": others}
    if named in known:
        arn = lab.key(known[named])
        if named == "disabled":
            lab.kms.disable_key(KeyId=arn)
        named = arn
    lab.group()
    assert code(lab.logs.associate_kms_key, logGroupName="flows", kmsKeyId=named) == error
    assert code(lab.logs.create_log_group, logGroupName="other", kmsKeyId=named) == error
    assert lab.shown() is None
    assert len(lab.logs.describe_log_groups()["logGroups"]) == 1


@pytest.mark.parametrize(
    ("params", "error"),
    [({}, "InvalidParameterException"), ({"logGroupName": "none"}, "ResourceNotFoundException"),
     ({"resourceIdentifier": f"arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*"}, "UnsupportedOperation"),
     ({"resourceIdentifier": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:flows"}, "ResourceNotFoundException")],
)  # fmt: skip
def test_targets_that_are_none(lab: KeyLab, params: dict[str, str], error: str) -> None:
    lab.group()
    assert code(lab.logs.associate_kms_key, kmsKeyId=lab.key(), **params) == error
    assert code(lab.logs.disassociate_kms_key, **params) == error


@pytest.mark.parametrize(
    "change",
    ["update event set message = cast(substr(message, 1, length(message) - 1) || x'00' as blob)",
     "update event set message = x'02'", "update event set at = at + 1", "delete from data_key",
     "update event set message = (select message from event order by number desc limit 1)"],
)  # fmt: skip
def test_what_was_altered_is_an_error_with_a_name(lab: KeyLab, change: str) -> None:
    lab.group(kmsKeyId=lab.key())
    lab.say("one")
    lab.say("two")
    lab.events.close()
    db = sqlite3.connect(lab.folder / "events.db")
    db.execute(change)
    db.commit()
    db.close()
    lab.restart()
    for call in (lab.logs.get_log_events, lab.logs.filter_log_events):
        more = {"logStreamName": "eni"} if call == lab.logs.get_log_events else {}
        assert code(call, logGroupName="flows", **more) == "ServiceUnavailableException"
    assert lab.front.pipeline.internal_errors == 0


def test_expiry_counts_what_was_put_and_keys_go_with_their_group(lab: KeyLab) -> None:
    lab.group(kmsKeyId=lab.key())
    lab.say(SECRET)
    group = f"{ARN}flows"
    assert lab.events.keys.has(group)
    (stream,) = [row.number for row in _streams(lab)]
    lab.events.expire(stream, lab.now + 1)
    assert lab.events.summaries([stream])[stream].bytes == 0
    lab.logs.delete_log_group(logGroupName="flows")
    expiry.expire(lab.events, lambda: lab.front.store.world, lab.front.clock.now())
    assert not lab.events.keys.has(group)
    lab.restart()
    assert not lab.events.keys.has(group)


def _streams(lab: KeyLab) -> list[Any]:
    from ringfence.model.kinds import LOG_STREAM

    return lab.front.store.world.all(LOG_STREAM)
