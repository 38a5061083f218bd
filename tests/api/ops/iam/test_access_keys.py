"""Access keys: two per user, the secret shown once and sealed, changes effective at once (IAM-06, IAM-07, DATA-03, DATA-04)."""

from __future__ import annotations

import base64
import json

import pytest

from ringfence.identity.identifiers import access_key_id, account_of, secret_key, unique_id
from ringfence.identity.sealing import SealError
from ringfence.model.ids import RandomIds, SeededIds
from ringfence.model.kinds import ACCESS_KEY
from ringfence.store.store import Commit
from tests.api.front import KEY, SECRET
from tests.api.ops.iam.lab import ACCOUNT, Lab


def test_a_key_signs_for_its_user_until_it_is_inactive_or_gone(lab: Lab) -> None:
    """IAM-07: the very next request is refused, and a key made active again works again."""
    key = lab.key(lab.user("ann", Path="/team/"))
    about = {"UserName": "ann", "AccessKeyId": key["AccessKeyId"]}
    assert lab.caller(key) == f"arn:aws:iam::{ACCOUNT}:user/team/ann"
    lab.iam.update_access_key(**about, Status="Inactive")
    assert lab.caller(key) == "InvalidClientTokenId"
    lab.iam.update_access_key(**about, Status="Active")
    assert lab.caller(key).endswith("/ann")
    lab.iam.delete_access_key(**about)
    assert lab.caller(key) == "InvalidClientTokenId"
    assert lab.iam.list_access_keys(UserName="ann")["AccessKeyMetadata"] == []


def test_a_renamed_user_signs_with_the_new_name(lab: Lab) -> None:
    key = lab.key(lab.user("ann"))
    assert lab.caller(key).endswith("user/ann")
    lab.iam.update_user(UserName="ann", NewUserName="eve", NewPath="/x/")
    assert lab.caller(key).endswith("user/x/eve")


def test_a_user_has_two_keys_at_most(lab: Lab) -> None:
    """IAM-06."""
    lab.user("ann")
    made = {lab.key()["AccessKeyId"], lab.key()["AccessKeyId"]}
    refusal = ("LimitExceeded", 409, "Cannot exceed quota for AccessKeysPerUser: 2")
    assert lab.refused("create_access_key", UserName="ann") == refusal
    shown = lab.iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    assert {key["AccessKeyId"] for key in shown} == made
    assert all("SecretAccessKey" not in key for key in shown)


def test_the_secret_is_stored_sealed_and_audited_nowhere(lab: Lab) -> None:
    """DATA-03, DATA-04: neither the rows nor the trail hold it, and a row moved to another id does not open."""
    key = lab.key(lab.user("ann"))
    secret = key["SecretAccessKey"]
    row = lab.front.store.world.get(ACCESS_KEY, key["AccessKeyId"])
    assert secret.encode() not in base64.b64decode(row.sealed)
    assert secret not in repr(row)
    assert secret not in json.dumps(lab.front.audit())
    assert secret not in repr(lab.front.pipeline.credentials.find(row.id))
    with pytest.raises(SealError):
        lab.front.sealer.open(base64.b64decode(row.sealed), "access-key/AKIAOTHER")


def test_the_last_use_is_noted_and_written_in_one_commit(lab: Lab) -> None:
    """Calls cost no durable write; the notes are written together, and reads show either."""
    keys = [lab.key(lab.user(name)) for name in ("ann", "bob")]
    id = keys[0]["AccessKeyId"]
    fresh = lab.iam.get_access_key_last_used(AccessKeyId=id)
    assert (fresh["UserName"], fresh["AccessKeyLastUsed"]) == ("ann", {"ServiceName": "N/A", "Region": "N/A"})
    store, uses = lab.front.store, lab.front.pipeline.uses
    before = store.world.generation
    for key in keys:
        lab.caller(key)
    assert store.world.generation == before
    noted = lab.iam.get_access_key_last_used(AccessKeyId=id)["AccessKeyLastUsed"]
    assert (noted["ServiceName"], noted["Region"]) == ("sts", "us-east-1")
    store.write(lambda world: Commit(change=uses.change(world)))
    uses.written(store.world)
    assert store.world.generation == before + 1
    assert not uses.change(store.world)
    assert lab.iam.get_access_key_last_used(AccessKeyId=id)["AccessKeyLastUsed"] == noted


def test_keys_without_a_name_are_the_callers_own(lab: Lab) -> None:
    """The root's further keys are the root's; its installation key keeps working."""
    key = lab.iam.create_access_key()["AccessKey"]
    assert lab.caller(key) == f"arn:aws:iam::{ACCOUNT}:root"
    assert [k["AccessKeyId"] for k in lab.iam.list_access_keys()["AccessKeyMetadata"]] == [key["AccessKeyId"]]
    assert lab.caller({"AccessKeyId": KEY, "SecretAccessKey": SECRET}) == f"arn:aws:iam::{ACCOUNT}:root"


@pytest.mark.parametrize("method", ["update_access_key", "delete_access_key"])
def test_a_key_is_changed_only_under_its_own_user(lab: Lab, method: str) -> None:
    key = lab.key(lab.user("ann"))
    lab.user("bob")
    more = {"Status": "Inactive"} if method == "update_access_key" else {}
    for name in ("bob", None):
        who = {"UserName": name} if name else {}
        assert lab.refused(method, AccessKeyId=key["AccessKeyId"], **who, **more)[:2] == ("NoSuchEntity", 404)
    assert lab.caller(key).endswith("/ann")


@pytest.mark.parametrize("account", ["000000000001", "123456789012", "999999999999"])
def test_a_key_id_names_its_account(account: str) -> None:
    for ids in (SeededIds(1), RandomIds()):
        for prefix in ("AKIA", "ASIA"):
            id = access_key_id(ids, account, prefix)
            assert (len(id), id[:4], account_of(id)) == (20, prefix, account)


def test_ids_and_secrets_have_awss_shape() -> None:
    ids = RandomIds()
    assert len({unique_id(ids, "AIDA") for _ in range(50)}) == 50
    assert len(unique_id(ids, "AIDA")) == 21
    assert len(secret_key(ids)) == 40
    assert account_of("AKIDROOT") is None


def test_values_outside_an_enumeration_are_refused_in_awss_words(lab: Lab) -> None:
    """IAM API Reference, "Common errors"."""
    key = lab.key(lab.user("ann"))
    wrong = lab.refused("update_access_key", UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Off")
    text = "Value 'Off' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive"
    assert wrong[:2] == ("ValidationError", 400)
    assert wrong[2].startswith(f"1 validation error detected: {text}")
    answer = lab.front.ask({"Action": "DeleteAccessKey", "UserName": "ann"}, service="iam")
    missing = (
        "1 validation error detected: Value null at 'accessKeyId' failed to satisfy constraint: Member must not be null"
    )
    assert (answer.code, answer.message) == ("ValidationError", missing)
