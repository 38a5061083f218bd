"""Who may use a KMS key: every cell is a call of an unmodified boto3 to a running server (DATA-05, IAM-14 … IAM-20; AWS KMS Developer
Guide: "Key policies", "AWS KMS condition keys", "Grants in AWS KMS", "Allowing users in other accounts to use a KMS key")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ringfence.api.connection import Connection
from tests.api.front import OTHER_ACCOUNT, OTHER_KEY, SECRET, Front
from tests.api.live import live
from tests.api.ops.organizations.estate import Estate
from tests.api.ops.organizations.estate import code as outcome
from tests.identity.wire import ACCOUNT, Lab, User

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
START = f"arn:aws:kms:us-east-1:{ACCOUNT}:"
CONTEXT = {"Stack": "prod", "Team": "a"}
DENIED = "AccessDeniedException"


@pytest.fixture(scope="module")
def lab() -> Iterator[Quick]:
    with live(Front(), protocol=Connection) as running:
        yield Quick(running)


@pytest.fixture(scope="module")
def kms(lab: Quick) -> Any:
    return lab.client("kms")


def allow(action: Any = "kms:*", resource: Any = "*", effect: str = "Allow", **condition: Any) -> dict[str, Any]:
    made = {"Effect": effect, "Action": action, "Resource": resource}
    return made | ({"Condition": condition} if condition else {})


def key_of(kms: Any, *statements: dict[str, Any], delegates: bool = True, **how: Any) -> str:
    """A key with these statements, and that of the account."""
    own = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
    listed = [*([own] if delegates else []), *statements]
    document = json.dumps({"Version": "2012-10-17", "Statement": listed})
    made = kms.create_key(Policy=document, BypassPolicyLockoutSafetyCheck=True, **how)["KeyMetadata"]
    return str(made["Arn"])


_SESSION = boto3.session.Session()  # one for all clients: it remembers the service model


def client(lab: Lab, user: User) -> Any:
    return _client(lab, user.key, user.secret)


def _client(lab: Lab, key: str, secret: str) -> Any:
    return _SESSION.client(
        "kms", region_name="us-east-1", endpoint_url=lab.live.url, aws_access_key_id=key, aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip


class Quick(Lab):
    """Users without clients of other services: those take longer to make than all the calls here."""

    def user(self, *statements: dict[str, Any], version: str = "2012-10-17", name: str | None = None) -> User:
        self._users += 1
        made = object.__new__(User)
        made.lab, made.name = self, name or f"user{self._users}"
        self.iam.create_user(UserName=made.name)
        if statements:
            self.allow(made, *statements)
        key = self.iam.create_access_key(UserName=made.name)["AccessKey"]
        made.key, made.secret = key["AccessKeyId"], key["SecretAccessKey"]
        return made

    def allow(self, user: User, *statements: dict[str, Any]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.iam.put_user_policy(UserName=user.name, PolicyName="inline", PolicyDocument=document)


def code(call: Any, **params: Any) -> str:
    try:
        call(**params)
    except ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return "ok"


def uses(who: Any, key: str, context: dict[str, str] | None = None) -> list[str]:
    """Encrypt and decrypt."""
    given = {"EncryptionContext": context} if context else {}
    return [
        code(who.encrypt, KeyId=key, Plaintext=b"x", **given),
        code(who.generate_data_key, KeyId=key, KeySpec="AES_256", **given),
    ]


YES, NO = ["ok", "ok"], [DENIED, DENIED]


# ---------------------------------------------------------------------- the root of trust
@pytest.mark.parametrize("delegates", [True, False])
@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("named", ["nobody", "the user", "denied"])
def test_who_grants(lab: Quick, kms: Any, delegates: bool, identity: bool, named: str) -> None:
    """Identity policies count when the key policy hands on to the account; the key policy alone is enough; a Deny wins."""
    user = lab.user(*([allow("kms:*")] if identity else []))
    arn = f"arn:aws:iam::{ACCOUNT}:user/{user.name}"
    statements = {
        "nobody": [{**allow("kms:*"), "Principal": {"Service": "logs.us-east-1.amazonaws.com"}}],
        "the user": [{**allow("kms:*"), "Principal": {"AWS": arn}}],
        "denied": [{**allow("kms:*"), "Principal": {"AWS": arn}}, {**allow("kms:*", effect="Deny"), "Principal": {"AWS": arn}}],
    }  # fmt: skip
    key = key_of(kms, *statements[named], delegates=delegates)
    allowed = named == "the user" or (named == "nobody" and delegates and identity)
    assert uses(client(lab, user), key) == (YES if allowed else NO)


def test_the_root_of_the_account_has_no_more_than_the_key_policy_gives(lab: Quick, kms: Any) -> None:
    key = key_of(kms, {**allow("kms:Encrypt"), "Principal": {"AWS": ROOT}}, delegates=False)
    assert uses(kms, key) == ["ok", DENIED]
    assert code(kms.put_key_policy, KeyId=key, Policy="{}") == DENIED
    assert code(kms.schedule_key_deletion, KeyId=key) == DENIED


def test_what_is_about_no_key_is_for_identity_policies(lab: Quick, kms: Any) -> None:
    user, nobody = (
        client(lab, lab.user(allow(["kms:ListKeys", "kms:CreateKey", "kms:GenerateRandom"]))),
        client(lab, lab.user()),
    )
    for name, params in (("list_keys", {}), ("generate_random", {"NumberOfBytes": 1}), ("create_key", {})):
        assert code(getattr(nobody, name), **params) == DENIED
    assert code(user.list_keys) == code(user.generate_random, NumberOfBytes=1) == "ok"
    assert code(user.list_aliases) == DENIED
    made = user.create_key(BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]
    assert code(user.describe_key, KeyId=made) == DENIED  # its maker has no permission by being its maker


def test_a_policy_that_would_lock_its_author_out(lab: Quick, kms: Any) -> None:
    """The safety check, and BypassPolicyLockoutSafetyCheck; principals must exist."""
    user = lab.user(allow(["kms:CreateKey", "kms:PutKeyPolicy"]))
    arn = f"arn:aws:iam::{ACCOUNT}:user/{user.name}"
    mine = client(lab, user)

    def policy(principal: str, action: str = "kms:*") -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": {**allow(action), "Principal": {"AWS": principal}}})

    malformed = "MalformedPolicyDocumentException"
    assert code(mine.create_key, Policy=policy(arn, "kms:Encrypt")) == malformed
    assert code(mine.create_key, Policy=policy(arn, "kms:Encrypt"), BypassPolicyLockoutSafetyCheck=True) == "ok"
    assert code(mine.create_key, Policy=policy(f"arn:aws:iam::{ACCOUNT}:user/nobody-here")) == malformed
    key = mine.create_key(Policy=policy(arn))["KeyMetadata"]["Arn"]
    assert code(mine.put_key_policy, KeyId=key, Policy=policy(ROOT, "kms:DescribeKey")) == malformed
    assert json.loads(mine.get_key_policy(KeyId=key)["Policy"])["Statement"]["Principal"] == {"AWS": arn}
    assert code(kms.put_key_policy, KeyId=key, Policy=policy(ROOT)) == DENIED
    assert code(mine.put_key_policy, KeyId=key, Policy=policy(ROOT)) == "ok"  # the account lets the user put policies


# ---------------------------------------------------------------------- condition keys
_KEYS = "kms:EncryptionContextKeys"
#: condition of an identity policy -> (with the context, without one)
CONDITIONS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "context": ({"StringEquals": {"kms:EncryptionContext:Stack": "prod"}}, YES, NO),
    "letter case of the key": ({"StringEquals": {"kms:encryptioncontext:STACK": "prod"}}, YES, NO),
    "letter case of the value": ({"StringEquals": {"kms:EncryptionContext:Stack": "Prod"}}, NO, NO),
    "pattern": ({"StringLike": {"kms:EncryptionContext:Stack": "pr*"}}, YES, NO),
    "another pair": ({"StringEquals": {"kms:EncryptionContext:Other": "prod"}}, NO, NO),
    "no such pair": ({"Null": {"kms:EncryptionContext:Other": "true"}}, YES, YES),
    "some keys": ({"ForAnyValue:StringEquals": {_KEYS: ["Stack"]}}, YES, NO),
    "no other keys": ({"ForAllValues:StringEquals": {_KEYS: ["Stack", "Team"]}}, YES, YES),
    "other keys": ({"ForAllValues:StringEquals": {_KEYS: ["Stack"]}}, NO, YES),
    "any context": ({"Null": {_KEYS: "false"}}, YES, NO),
    "account": ({"StringEquals": {"kms:CallerAccount": ACCOUNT}}, YES, YES),
    "another account": ({"StringEquals": {"kms:CallerAccount": OTHER_ACCOUNT}}, NO, NO),
    "by way of a service": ({"StringLike": {"kms:ViaService": "*"}}, NO, NO),
    "not by way of a service": ({"Null": {"kms:ViaService": "true"}}, YES, YES),
    "kind of key": ({"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:KeyUsage": "ENCRYPT_DECRYPT"}}, YES, YES),
    "origin of the key": ({"StringEquals": {"kms:KeyOrigin": "EXTERNAL"}}, NO, NO),
    "algorithm": ({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, YES, YES),
    "alias of the key": ({"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/conditions"}}, YES, YES),
    "another alias": ({"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/none"}}, NO, NO),
    "alias in the request": ({"StringEquals": {"kms:RequestAlias": "alias/conditions"}}, NO, NO),
    "tag of the key": ({"StringEquals": {"aws:ResourceTag/Team": "a"}}, YES, YES),
    "another tag": ({"StringEquals": {"aws:ResourceTag/Team": "b"}}, NO, NO),
    "a key of other actions": ({"StringEquals": {"kms:GrantOperations": "Decrypt"}}, NO, NO),
    "a key nobody published": ({"StringEquals": {"kms:Nothing": "x"}}, NO, NO),
}  # fmt: skip


@pytest.fixture(scope="module")
def subject(kms: Any) -> str:
    key = key_of(kms, Tags=[{"TagKey": "Team", "TagValue": "a"}])
    kms.create_alias(AliasName="alias/conditions", TargetKeyId=key)
    return key


@pytest.fixture(scope="module")
def narrowed(lab: Quick) -> User:
    return lab.user()


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions(lab: Quick, subject: str, narrowed: User, name: str) -> None:
    condition, with_context, without = CONDITIONS[name]
    lab.allow(narrowed, allow(**condition))
    who = client(lab, narrowed)
    assert uses(who, subject, CONTEXT) == with_context
    assert uses(who, subject) == without
    if name == "alias in the request":
        assert uses(who, "alias/conditions") == uses(who, f"{START}alias/conditions") == YES


#: action, its parameters -> a condition that holds, and the same with another value
REQUESTS: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("create_key", {"KeySpec": "SYMMETRIC_DEFAULT"}, "kms:KeySpec", "SYMMETRIC_DEFAULT", "RSA_2048"),
    ("create_key", {}, "kms:KeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY"), ("create_key", {}, "kms:KeyOrigin", "AWS_KMS", "EXTERNAL"),
    ("create_key", {}, "kms:MultiRegion", "false", "true"),
    ("create_key", {}, "kms:BypassPolicyLockoutSafetyCheck", "true", "false"),
    ("create_key", {"Tags": [{"TagKey": "Team", "TagValue": "a"}]}, "aws:RequestTag/Team", "a", "b"),
    ("schedule_key_deletion", {"PendingWindowInDays": 9}, "kms:ScheduleKeyDeletionPendingWindowInDays", "9", "30"),
    ("enable_key_rotation", {"RotationPeriodInDays": 90}, "kms:RotationPeriodInDays", "90", "365"),
    ("create_grant", {"GranteePrincipal": ROOT, "Operations": ["Decrypt"]}, "kms:GranteePrincipal", ROOT, ROOT + "x"),
    ("create_grant", {"GranteePrincipal": ROOT, "Operations": ["Decrypt"], "Constraints": {"EncryptionContextSubset": CONTEXT}},
     "kms:GrantConstraintType", "EncryptionContextSubset", "EncryptionContextEquals"),
    ("create_grant", {"GranteePrincipal": ROOT, "Operations": ["Decrypt"], "Constraints": {"EncryptionContextEquals": CONTEXT}},
     "kms:EncryptionContext:Stack", "prod", "test"),
    ("create_grant", {"GranteePrincipal": ROOT, "Operations": ["Decrypt"]}, "kms:GrantIsForAWSResource", "false", "true"),
    ("create_grant", {"GranteePrincipal": ROOT, "Operations": ["Decrypt"], "RetiringPrincipal": ROOT},
     "kms:RetiringPrincipal", ROOT, ROOT + "x"),
    ("tag_resource", {"Tags": [{"TagKey": "Team", "TagValue": "a"}]}, "aws:RequestTag/Team", "a", "b"),
]  # fmt: skip


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: f"{row[0]} {row[2]}")
def test_what_a_request_says(
    lab: Quick, kms: Any, narrowed: User, row: tuple[str, dict[str, Any], str, str, str]
) -> None:
    action, params, condition, right, wrong = row
    given = params if action == "create_key" else {"KeyId": key_of(kms), **params}
    given |= {"BypassPolicyLockoutSafetyCheck": True} if action == "create_key" else {}
    who = client(lab, narrowed)
    for value, expected in ((wrong, DENIED), (right, "ok")):
        lab.allow(narrowed, allow(StringEquals={condition: value}))
        assert code(getattr(who, action), **given) == expected


def test_operations_of_a_grant_are_a_key_with_values(lab: Quick, kms: Any) -> None:
    user = lab.user(
        allow("kms:CreateGrant", **{"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt", "Encrypt"]}})
    )
    who, key = client(lab, user), key_of(kms)
    grant = {"KeyId": key, "GranteePrincipal": ROOT}
    assert code(who.create_grant, **grant, Operations=["Decrypt"]) == "ok"
    assert code(who.create_grant, **grant, Operations=["Decrypt", "DescribeKey"]) == DENIED


# ---------------------------------------------------------------------- several questions
def test_aliases_need_the_alias_and_the_key(lab: Quick, kms: Any) -> None:
    one, two = key_of(kms), key_of(kms)
    alias = f"{START}alias/both"
    cells = [
        ([allow("kms:*Alias", alias)], DENIED), ([allow("kms:*Alias", one)], DENIED), ([allow("kms:*Alias", [alias, one])], "ok"),
        ([allow("kms:*Alias", [f"{START}alias/other", one])], DENIED),
    ]  # fmt: skip
    for statements, expected in cells:
        who = client(lab, lab.user(*statements))
        assert code(who.create_alias, AliasName="alias/both", TargetKeyId=one) == expected
    assert code(who.delete_alias, AliasName="alias/both") == DENIED
    half, whole = (
        client(lab, lab.user(allow("kms:*", [alias, two]))),
        client(lab, lab.user(allow("kms:*", [alias, one, two]))),
    )
    assert (
        code(half.update_alias, AliasName="alias/both", TargetKeyId=two) == DENIED
    )  # the key that loses it is asked about too
    assert code(whole.update_alias, AliasName="alias/both", TargetKeyId=two) == "ok"
    assert code(half.delete_alias, AliasName="alias/both") == "ok"


def test_encrypting_anew_needs_both_keys(lab: Quick, kms: Any) -> None:
    """ReEncryptFrom on the one, ReEncryptTo on the other, each with its own context."""
    one, two = key_of(kms), key_of(kms)
    blob = kms.encrypt(KeyId=one, Plaintext=b"x")["CiphertextBlob"]
    ask = {"CiphertextBlob": blob, "DestinationKeyId": two, "DestinationEncryptionContext": CONTEXT}
    away, back = allow("kms:ReEncryptFrom", one), allow("kms:ReEncryptTo", two)
    narrow = allow("kms:ReEncryptTo", two, StringEquals={"kms:EncryptionContext:Stack": "prod"})
    same = allow("kms:ReEncrypt*", Bool={"kms:ReEncryptOnSameKey": "true"})
    for statements, expected in (
        ([away], DENIED), ([back], DENIED), ([away, back], "ok"), ([away, narrow], "ok"), ([same], DENIED),
        ([allow("kms:ReEncrypt", "*")], DENIED), ([allow("kms:ReEncryptFrom", two), allow("kms:ReEncryptTo", one)], DENIED),
    ):  # fmt: skip
        assert code(client(lab, lab.user(*statements)).re_encrypt, **ask) == expected
    assert code(client(lab, lab.user(same)).re_encrypt, **ask | {"DestinationKeyId": one}) == "ok"


def test_a_ciphertext_is_asked_about_by_the_key_in_it(lab: Quick, kms: Any) -> None:
    mine, other = key_of(kms), key_of(kms)
    blob = kms.encrypt(KeyId=other, Plaintext=b"x")["CiphertextBlob"]
    who = client(lab, lab.user(allow("kms:Decrypt", mine)))
    assert code(who.decrypt, CiphertextBlob=blob) == DENIED
    assert (
        code(who.decrypt, CiphertextBlob=blob, KeyId=mine) == "IncorrectKeyException"
    )  # naming another key is no way around
    assert code(client(lab, lab.user(allow("kms:Decrypt", other))).decrypt, CiphertextBlob=blob) == "ok"


def test_who_may_not_use_a_key_does_not_learn_of_its_state(lab: Quick, kms: Any) -> None:
    key, nobody = key_of(kms), client(lab, lab.user())
    kms.disable_key(KeyId=key)
    assert uses(nobody, key) == NO
    assert code(nobody.describe_key, KeyId=f"{key[:-12]}000000000000") == DENIED
    reader = client(lab, lab.user(allow("kms:DescribeKey")))
    assert code(reader.describe_key, KeyId=f"{key[:-12]}000000000000") == "NotFoundException"


# ---------------------------------------------------------------------- grants
def test_a_grant_allows_what_it_says_to_whom_it_says(lab: Quick, kms: Any) -> None:
    user, other = lab.user(), lab.user()
    key = key_of(kms)
    arn = f"arn:aws:iam::{ACCOUNT}:user/{user.name}"
    made = kms.create_grant(KeyId=key, GranteePrincipal=arn, Operations=["Encrypt"])
    assert uses(client(lab, user), key) == ["ok", DENIED]
    assert uses(client(lab, other), key) == NO
    assert code(client(lab, user).encrypt, KeyId=key, Plaintext=b"x", GrantTokens=[made["GrantToken"]]) == "ok"
    kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    assert uses(client(lab, user), key) == NO


@pytest.mark.parametrize(
    ("constraint", "context", "allowed"),
    [
        ({"EncryptionContextSubset": {"Stack": "prod"}}, CONTEXT, True), ({"EncryptionContextSubset": CONTEXT}, CONTEXT, True),
        ({"EncryptionContextSubset": CONTEXT}, {"Stack": "prod"}, False), ({"EncryptionContextSubset": CONTEXT}, None, False),
        ({"EncryptionContextEquals": {"Stack": "prod"}}, CONTEXT, False), ({"EncryptionContextEquals": CONTEXT}, CONTEXT, True),
        ({"EncryptionContextEquals": {"stack": "prod"}}, {"Stack": "prod"}, False),  # names are compared exactly
        ({"EncryptionContextSubset": {"Stack": "*"}}, CONTEXT, False), ({"EncryptionContextSubset": {"S": "${*}"}}, {"S": "*"}, False),
    ],
)  # fmt: skip
def test_a_grant_is_bound_to_a_context(
    lab: Quick, kms: Any, constraint: dict[str, Any], context: dict[str, str] | None, allowed: bool
) -> None:
    user = lab.user()
    key = key_of(kms, delegates=True)
    arn = f"arn:aws:iam::{ACCOUNT}:user/{user.name}"
    operations = ["Encrypt", "GenerateDataKey", "DescribeKey"]
    kms.create_grant(KeyId=key, GranteePrincipal=arn, Operations=operations, Constraints=constraint)
    assert uses(client(lab, user), key, context) == (YES if allowed else NO)
    assert code(client(lab, user).describe_key, KeyId=key) == "ok"  # has no context to be bound to


def test_a_deny_wins_over_a_grant(lab: Quick, kms: Any) -> None:
    user = lab.user(allow(effect="Deny"))
    key = key_of(kms)
    kms.create_grant(
        KeyId=key,
        GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:user/{user.name}",
        Operations=["Encrypt", "GenerateDataKey"],
    )
    assert uses(client(lab, user), key) == NO


def test_who_may_retire_a_grant(lab: Quick, kms: Any) -> None:
    retiring, grantee, nobody = lab.user(), lab.user(), lab.user()
    key = key_of(kms)
    names = [f"arn:aws:iam::{ACCOUNT}:user/{user.name}" for user in (retiring, grantee)]
    grant = {"KeyId": key, "GranteePrincipal": names[1], "RetiringPrincipal": names[0]}
    one = kms.create_grant(**grant, Operations=["Encrypt"])
    two = kms.create_grant(**grant, Operations=["Encrypt", "RetireGrant"])
    for who in (nobody, grantee):
        assert code(client(lab, who).retire_grant, KeyId=key, GrantId=one["GrantId"]) == DENIED
        assert code(client(lab, who).retire_grant, GrantToken=one["GrantToken"]) == DENIED
    assert code(client(lab, retiring).revoke_grant, KeyId=key, GrantId=one["GrantId"]) == DENIED
    assert code(client(lab, retiring).retire_grant, KeyId=key, GrantId=one["GrantId"]) == "ok"
    assert code(client(lab, grantee).retire_grant, GrantToken=two["GrantToken"]) == "ok"


def test_a_grant_to_create_grants_hands_on_no_more_than_it_has(lab: Quick, kms: Any) -> None:
    """AWS, CreateGrant: the operations of the parent or fewer, its constraints or narrower ones."""
    user = lab.user()
    key = key_of(kms)
    parent = {"KeyId": key, "GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:user/{user.name}", "Operations": ["CreateGrant", "Encrypt"],
              "Constraints": {"EncryptionContextSubset": {"Stack": "prod"}}}  # fmt: skip
    kms.create_grant(**parent)
    who, child = client(lab, user), {"KeyId": key, "GranteePrincipal": ROOT}
    within = {"Constraints": {"EncryptionContextEquals": CONTEXT}}
    assert code(who.create_grant, **child, Operations=["Encrypt"], **within) == "ok"
    assert code(who.create_grant, **child, Operations=["Encrypt", "Decrypt"], **within) == DENIED
    assert code(who.create_grant, **child, Operations=["Encrypt"]) == DENIED
    other = {"Constraints": {"EncryptionContextSubset": {"Stack": "test"}}}
    assert code(who.create_grant, **child, Operations=["Encrypt"], **other) == DENIED
    assert code(client(lab, lab.user()).create_grant, **child, Operations=["Encrypt"], **within) == DENIED


# ---------------------------------------------------------------------- across accounts, organizations
def test_across_accounts_both_sides_must_allow(lab: Quick, kms: Any) -> None:
    """IAM-20."""
    theirs = lab.client("iam", OTHER_KEY, SECRET)
    names = {}
    for name, action in (("may", "kms:*"), ("may-not", "s3:*")):
        theirs.create_user(UserName=name)
        document = json.dumps({"Version": "2012-10-17", "Statement": allow(action)})
        theirs.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=document)
        key = theirs.create_access_key(UserName=name)["AccessKey"]
        names[name] = _client(lab, key["AccessKeyId"], key["SecretAccessKey"])
    root = _client(lab, OTHER_KEY, SECRET)
    closed = key_of(kms)
    opened = key_of(
        kms, {**allow(["kms:Encrypt", "kms:GenerateDataKey", "kms:DisableKey"]), "Principal": {"AWS": OTHER_ACCOUNT}}
    )
    named = key_of(kms, {**allow(), "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:user/may-not"}})
    assert [uses(names["may"], key) for key in (closed, opened, named)] == [NO, YES, NO]
    assert [uses(names["may-not"], key) for key in (closed, opened, named)] == [NO, NO, NO]
    assert uses(root, opened) == YES
    assert code(root.disable_key, KeyId=opened) == DENIED  # AWS: management is not for other accounts
    kms.create_grant(KeyId=closed, GranteePrincipal=f"arn:aws:iam::{OTHER_ACCOUNT}:root", Operations=["Encrypt"])
    assert uses(names["may"], closed) == ["ok", DENIED]
    assert uses(names["may-not"], closed) == NO


def test_organizations_bind_users_of_keys_and_keys() -> None:
    """IAM-18: SCPs bind the caller's account, RCPs the key's; neither binds AWS managed keys by an RCP."""
    estate = Estate()
    account = estate.account()
    who = estate.root_of(account)
    member = estate.front.client("kms", **who)
    key = member.create_key()["KeyMetadata"]["Arn"]
    ask = {"KeyId": key, "Plaintext": b"x"}
    text = json.dumps({"Version": "2012-10-17", "Statement": allow("kms:Encrypt", effect="Deny")})
    held = estate.attach(text, account)
    assert outcome(member.encrypt, **ask) == DENIED
    estate.org.detach_policy(PolicyId=held, TargetId=account)
    assert outcome(member.encrypt, **ask) == "ok"
    estate.org.enable_policy_type(RootId=estate.root, PolicyType="RESOURCE_CONTROL_POLICY")
    denied = {**allow(["kms:Encrypt", "kms:DescribeKey"], effect="Deny"), "Principal": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": denied})
    held_back = estate.attach(text, account, "keys", "RESOURCE_CONTROL_POLICY")
    assert outcome(member.encrypt, **ask) == DENIED
    assert outcome(member.describe_key, KeyId=key) == DENIED
    managed = "alias/aws/s3"
    estate.org.detach_policy(PolicyId=held_back, TargetId=account)
    member.describe_key(KeyId=managed)
    estate.org.attach_policy(PolicyId=held_back, TargetId=account)
    assert outcome(member.describe_key, KeyId=managed) == "ok"
