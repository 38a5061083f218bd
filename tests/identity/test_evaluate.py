"""Who decides: every kind of policy, alone and together (IAM-14 … IAM-25; IAM User Guide: "Policy evaluation logic")."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.evaluate import decide
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Attached, Effect, Layer, Policies, Question, Reason, Target
from tests.identity.policies import (
    ACCOUNT,
    ARN,
    FEDERATED,
    OTHER,
    ROLE_ARN,
    ROOT,
    SERVICE,
    SESSION,
    SESSION_ARN,
    USER,
    allow,
    ask,
    attached,
    deny,
    granting,
    statement,
)  # fmt: skip

ALLOWED, EXPLICIT, IMPLICIT = Effect.ALLOWED, Effect.EXPLICIT_DENY, Effect.IMPLICIT_DENY
ELSEWHERE = allow("s3:*")
USER_ARN = {"AWS": USER.arn}


# ---------------------------------------------------------------------- one layer
def test_nothing_is_allowed_by_default() -> None:
    """IAM-14."""
    decision = ask()
    assert (decision.effect, decision.layer, decision.reasons) == (IMPLICIT, Layer.IDENTITY, ())


def test_a_question_about_nothing_is_not_allowed() -> None:
    question = Question(principal=USER, action="ec2:DeleteVpc", targets=())
    assert not decide(question, Policies(identity=(allow("*"),))).allowed


def test_an_allow_names_its_statement() -> None:
    identity = attached(statement(action="s3:*"), statement(Sid="Two"), name="ann/inline")
    decision = ask(identity=identity)
    assert decision.allowed
    assert decision.reasons == (Reason(layer=Layer.IDENTITY, policy="ann/inline", statement=1, sid="Two"),)


@pytest.mark.parametrize(
    ("action", "matches"),
    [("ec2:DeleteVpc", True), ("EC2:deletevpc", True), ("ec2:Delete*", True), ("ec2:De?eteVpc", True), ("*", True),
     ("ec2:*", True), ("*:DeleteVpc", True), ("ec2:DeleteVp", False), ("ec2:DeleteVpc?", False), ("s3:*", False)],
)  # fmt: skip
def test_actions_match_with_wildcards_and_without_letter_case(action: str, matches: bool) -> None:
    """IAM-21; the inverse for NotAction."""
    assert ask(identity=allow(action)).allowed is matches
    assert ask(identity=allow(None, NotAction=action)).allowed is not matches


@pytest.mark.parametrize(
    ("resource", "matches"),
    [(ARN, True), ("*", True), ("arn:aws:ec2:*:*:vpc/*", True), ("arn:aws:ec2:us-east-?:*:vpc/vpc-1", True),
     (ARN.upper(), False), ("arn:aws:ec2:us-west-2:*:vpc/*", False), ("arn:aws:ec2:*:*:subnet/*", False),
     (["arn:aws:s3:::b", ARN], True), ("arn:aws:ec2:*:*:*", True), (f"arn:aws:ec2::{ACCOUNT}:vpc/*", False)],
)  # fmt: skip
def test_resources_match_field_by_field(resource: Any, matches: bool) -> None:
    """IAM-23; the inverse for NotResource."""
    assert ask(identity=allow(resource=resource)).allowed is matches
    assert ask(identity=allow(resource=None, NotResource=resource)).allowed is not matches


def test_without_a_resource_only_the_star_matches() -> None:
    """IAM-24."""
    assert ask(identity=allow(), arn="*").allowed
    assert not ask(identity=allow(resource="arn:aws:ec2:*:*:*"), arn="*").allowed


def test_an_unresolved_variable_in_not_resource_allows_nothing() -> None:
    other = "arn:aws:ec2:us-east-1:111122223333:vpc/${aws:username}"
    assert not ask(identity=allow(resource=None, NotResource=other)).allowed
    assert ask(identity=allow(resource=None, NotResource=other), context={"aws:username": "x"}).allowed
    both = (allow(), deny(resource=None, NotResource=other))
    assert ask(identity=both).effect is EXPLICIT


# ---------------------------------------------------------------------- all layers
LAYERS: dict[Layer, Any] = {
    Layer.RESOURCE_CONTROL: lambda policy: {"resource_control": ((policy,),)},
    Layer.SERVICE_CONTROL: lambda policy: {"service_control": ((policy,),)},
    Layer.ENDPOINT: lambda policy: {"endpoint": policy},
    Layer.BOUNDARY: lambda policy: {"boundary": policy},
    Layer.SESSION: lambda policy: {"session": (policy,)},
}


@pytest.mark.parametrize("layer", [*LAYERS, Layer.RESOURCE, Layer.IDENTITY])
def test_an_explicit_deny_anywhere_wins(layer: Layer) -> None:
    """IAM-15."""
    held: dict[str, Any] = {"identity": (allow(), allow("*"))}
    if layer is Layer.IDENTITY:
        held["identity"] += (deny(),)
    elif layer is Layer.RESOURCE:
        held["resource"] = attached(statement(Principal="*"), statement("Deny", Principal=USER_ARN, Sid="no"))
    else:
        held |= LAYERS[layer](attached(statement(), statement("Deny", Sid="no")))
    decision = ask(**held)
    assert (decision.effect, decision.layer) == (EXPLICIT, layer)
    assert decision.reasons[0].layer is layer


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_must_allow_and_none_grants(layer: Layer) -> None:
    """IAM-17, IAM-18, IAM-19."""
    assert ask(identity=allow(), **LAYERS[layer](allow("ec2:*"))).allowed
    silent = ask(identity=allow(), **LAYERS[layer](ELSEWHERE))
    assert (silent.effect, silent.layer) == (IMPLICIT, layer)
    alone = ask(**LAYERS[layer](allow("*")))
    assert (alone.effect, alone.layer) == (IMPLICIT, Layer.IDENTITY)


def test_every_level_of_the_organization_must_allow() -> None:
    """IAM-18."""
    full = (allow("*"),)
    assert ask(identity=allow(), service_control=(full, full, full)).allowed
    assert not ask(identity=allow(), service_control=(full, (ELSEWHERE,), full)).allowed
    assert ask(identity=allow(), service_control=(full, (ELSEWHERE, allow("*")), full)).allowed
    assert not ask(identity=allow(), service_control=(full, (), full)).allowed


def test_service_linked_roles_are_not_bound_by_the_organization() -> None:
    """AWS Organizations User Guide: "Tasks and entities not restricted by SCPs"."""
    session = Session(
        name="s",
        issued_at=0,
        expires_at=1,
        issuer_arn=f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x.amazonaws.com/X",
    )
    linked = Principal(account_id=ACCOUNT, arn=SESSION_ARN, user_id="AROAX:s", kind=PrincipalKind.ROLE, session=session)
    assert ask(identity=allow(), caller=linked, service_control=((ELSEWHERE,),)).allowed


def test_who_one_is_cannot_be_denied() -> None:
    """AWS STS API Reference: GetCallerIdentity."""
    no = deny("*")
    assert ask(identity=no, service_control=((no,),), action="sts:GetCallerIdentity").allowed


def test_an_empty_session_policy_allows_nothing() -> None:
    assert not ask(identity=allow(), caller=FEDERATED, session=()).allowed


# ---------------------------------------------------------------------- root
def test_root_needs_no_policy_but_obeys_the_organization_and_the_resource() -> None:
    """IAM-18."""
    assert ask(caller=ROOT).layer is Layer.ROOT
    assert ask(caller=ROOT).allowed
    assert not ask(caller=ROOT, service_control=((ELSEWHERE,),)).allowed
    assert ask(caller=ROOT, resource=granting("*", effect="Deny")).effect is EXPLICIT
    assert not ask(caller=ROOT, account=OTHER).allowed
    assert ask(caller=ROOT, account=OTHER, resource=granting({"AWS": ACCOUNT})).allowed


# ---------------------------------------------------------------------- the resource's policy, same account
#: the caller, whom the policy names, is that enough: alone, without boundary, without session policy
PRINCIPALS: list[tuple[Principal, Any, bool, bool, bool]] = [
    # caller, principal, alone, limited by boundary, limited by session policy
    (USER, USER_ARN, True, False, False),
    (USER, {"AWS": "AIDAANN"}, True, False, False),
    (USER, "*", True, False, False),
    (USER, {"AWS": "*"}, True, False, False),
    (USER, {"AWS": ACCOUNT}, False, True, True),
    (USER, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, False, True, True),
    (USER, {"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}, False, True, True),
    (USER, {"AWS": OTHER}, False, True, True),
    (USER, {"Service": "ec2.amazonaws.com"}, False, True, True),
    (SESSION, {"AWS": SESSION_ARN}, True, False, False),
    (SESSION, {"AWS": ROLE_ARN}, True, True, True),
    (SESSION, {"AWS": "AROAWEB"}, True, True, True),
    (SESSION, "*", True, False, False),
    (SESSION, {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/web/other"}, False, True, True),
    (FEDERATED, {"AWS": FEDERATED.arn}, True, False, False),
    (FEDERATED, USER_ARN, False, True, True),  # no session policy, no permissions, unless the session itself is named
]


@pytest.mark.parametrize(("caller", "principal", "alone", "boundary", "session"), PRINCIPALS)
def test_what_a_resource_policy_grants_by_itself(
    caller: Principal, principal: Any, alone: bool, boundary: bool, session: bool
) -> None:
    """IAM-17, IAM-20; the session's own ARN: User Guide, "Session policies"."""
    resource = granting(principal)
    assert ask(caller=caller, resource=resource).allowed is alone
    assert ask(caller=caller, resource=resource, boundary=ELSEWHERE).allowed is not boundary
    assert ask(caller=caller, resource=resource, session=(ELSEWHERE,)).allowed is not session
    assert ask(caller=caller, resource=resource, identity=deny()).effect is EXPLICIT


def test_either_side_may_allow_within_an_account() -> None:
    """IAM-20."""
    assert ask(identity=allow(), resource=granting({"AWS": OTHER})).layer is Layer.IDENTITY
    assert ask(identity=ELSEWHERE, resource=granting(USER_ARN)).layer is Layer.RESOURCE


@pytest.mark.parametrize("principal", [{"AWS": ACCOUNT}, USER_ARN, "*"])
def test_both_sides_must_allow_across_accounts(principal: Any) -> None:
    """IAM-20."""
    resource = granting(principal)
    assert ask(identity=allow(), account=OTHER, resource=resource).allowed
    assert ask(account=OTHER, resource=resource).layer is Layer.IDENTITY
    assert not ask(account=OTHER, resource=resource).allowed
    assert ask(identity=allow(), account=OTHER).layer is Layer.RESOURCE
    assert not ask(identity=allow(), account=OTHER).allowed
    assert not ask(identity=allow(), account=OTHER, resource=resource, boundary=ELSEWHERE).allowed
    assert not ask(identity=allow(), account=OTHER, resource=resource, session=(ELSEWHERE,)).allowed


# ---------------------------------------------------------------------- trust policies
def trust(principal: Any, **more: Any) -> Attached:
    return granting(principal, action="sts:AssumeRole", resource=None, **more)


@pytest.mark.parametrize(
    ("principal", "identity", "expected"),
    [({"AWS": ACCOUNT}, allow("sts:AssumeRole"), True), ({"AWS": ACCOUNT}, (), False), (USER_ARN, (), True),
     (None, allow("sts:AssumeRole"), False), ({"AWS": OTHER}, allow("*"), False)],
)  # fmt: skip
def test_a_role_is_assumed_by_trust(principal: Any, identity: Any, expected: bool) -> None:
    """IAM-09."""
    held = trust(principal) if principal else None
    assert ask(identity=identity, action="sts:AssumeRole", arn=ROLE_ARN, resource=held).allowed is expected


def test_a_service_is_let_in_by_trust_alone() -> None:
    """POL-16, IAM-42 at the evaluator: the guard against the confused deputy."""
    guard = {"StringEquals": {"aws:SourceAccount": ACCOUNT},
             "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/*"}}  # fmt: skip
    held = trust({"Service": SERVICE.name}, Condition=guard)
    good = {"aws:sourceaccount": ACCOUNT, "aws:sourcearn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/fl-1"}

    def may(caller: Principal = SERVICE, context: dict[str, str] = good) -> bool:
        return ask(caller=caller, action="sts:AssumeRole", arn=ROLE_ARN, resource=held, context=context).allowed

    assert may()
    assert not may(context=good | {"aws:sourceaccount": OTHER})
    assert not may(context=good | {"aws:sourcearn": f"arn:aws:ec2:us-east-1:{OTHER}:vpc-flow-log/fl-1"})
    assert not may(context={})
    assert not may(caller=USER)


def test_the_holder_of_a_web_token_is_known_by_its_provider() -> None:
    """IAM-12."""
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/example.com"
    session = Session(name="s", issued_at=0, expires_at=1, provider=provider)
    caller = Principal(
        account_id=ACCOUNT, arn="web", user_id="web", kind=PrincipalKind.WEB_IDENTITY, session=session
    )  # fmt: skip
    action = "sts:AssumeRoleWithWebIdentity"
    for named, expected in [({"Federated": provider}, True), ({"Federated": "example.org"}, False), (USER_ARN, False)]:
        held = granting(named, action=action, resource=None)
        assert ask(caller=caller, action=action, arn=ROLE_ARN, resource=held).allowed is expected


# ---------------------------------------------------------------------- NotPrincipal
@pytest.mark.parametrize(
    ("caller", "spared", "denied"),
    [(USER, [USER.arn], True), (USER, [USER.arn, ACCOUNT], False), (USER, [ACCOUNT], True),
     (USER, [f"arn:aws:iam::{ACCOUNT}:user/bob", ACCOUNT], True), (SESSION, [SESSION_ARN, ROLE_ARN, ACCOUNT], False),
     (SESSION, [SESSION_ARN, ROLE_ARN], True), (SESSION, [SESSION_ARN, ACCOUNT], True), (SESSION, [ROLE_ARN, ACCOUNT], True),
     (ROOT, [ACCOUNT], False)],
)  # fmt: skip
def test_all_but(caller: Principal, spared: list[str], denied: bool) -> None:
    """IAM User Guide: "NotPrincipal"."""
    resource = attached(statement("Deny", NotPrincipal={"AWS": spared}))
    assert (ask(identity=allow(), caller=caller, resource=resource).effect is EXPLICIT) is denied


def test_all_but_spares_nobody_with_a_boundary() -> None:
    """IAM User Guide: "Permissions boundaries for IAM entities", the note on NotPrincipal."""
    resource = attached(statement("Deny", NotPrincipal={"AWS": [USER.arn]}))
    assert ask(identity=allow(), resource=resource, boundary=allow("*")).effect is EXPLICIT


# ---------------------------------------------------------------------- several resources
def test_every_resource_must_be_allowed() -> None:
    """IAM-25."""
    subnet = Target(arn="arn:aws:ec2:us-east-1:111122223333:subnet/s", account_id=ACCOUNT, context={"ec2:vpc": "a"})
    group = Target(
        arn="arn:aws:ec2:us-east-1:111122223333:security-group/g", account_id=ACCOUNT, context={"ec2:vpc": "b"}
    )
    question = Question(principal=USER, action="ec2:RunInstances", targets=(subnet, group))
    only = allow("ec2:RunInstances", Condition={"StringEquals": {"ec2:Vpc": "a"}})
    decision = decide(question, Policies(identity=(only,)))
    assert (decision.effect, decision.target) == (IMPLICIT, group.arn)
    assert decide(question, Policies(identity=(allow("ec2:RunInstances"),))).allowed


# ---------------------------------------------------------------------- properties
_POLICY = st.sampled_from([
    allow(), allow("*"), ELSEWHERE, deny("s3:*"), allow(Condition={"StringEquals": {"a:b": "x"}}),
    allow(None, NotAction="ec2:*"), allow(resource=None, NotResource=ARN), allow(resource="arn:aws:ec2:*:*:subnet/*"),
])  # fmt: skip
_LEVEL = st.lists(_POLICY, max_size=2).map(tuple)
_CHAIN = st.fixed_dictionaries({
    "identity": _LEVEL, "boundary": st.none() | _POLICY, "session": st.none() | _LEVEL, "endpoint": st.none() | _POLICY,
    "service_control": st.lists(_LEVEL, max_size=2).map(tuple), "resource_control": st.lists(_LEVEL, max_size=1).map(tuple),
    "resource": st.none() | st.sampled_from([granting("*"), granting(USER_ARN), granting({"AWS": ACCOUNT})]),
    "caller": st.sampled_from([USER, SESSION, ROOT, FEDERATED, SERVICE]), "account": st.sampled_from([ACCOUNT, OTHER]),
    "context": st.sampled_from([{}, {"a:b": "x"}]),
})  # fmt: skip


@given(_CHAIN, st.sampled_from(["identity", "boundary", "session", "endpoint", "service_control", "resource"]))
def test_a_deny_added_anywhere_denies(chain: dict[str, Any], where: str) -> None:
    """IAM-15. Identity policies and boundary do not reach callers that have none."""
    no = deny("*")
    add: dict[str, Any] = {
        "identity": (*chain["identity"], no), "boundary": no, "session": (no,), "endpoint": no,
        "service_control": (*chain["service_control"], (no,)), "resource": granting("*", effect="Deny"),
    }  # fmt: skip
    unbound = {SERVICE: {"identity", "boundary", "session", "service_control"}, ROOT: {"identity", "boundary"}}
    if where in unbound.get(chain["caller"], set()):
        return
    assert ask(**(chain | {where: add[where]})).effect is EXPLICIT


@given(_CHAIN, _POLICY)
def test_limits_only_take_away(chain: dict[str, Any], limit: Attached) -> None:
    """A boundary, session policy, endpoint policy or organization's policy never allows what was refused (IAM-17 … 19).

    A federated user has no permissions without a session policy: for one, the widest is the beginning.
    """
    unlimited = (allow("*"),) if chain["caller"] is FEDERATED else None
    if ask(**(chain | {"boundary": None, "session": unlimited})).allowed:
        return
    assert not ask(**(chain | {"boundary": limit, "session": (limit,)})).allowed
    assert not ask(**(chain | {"endpoint": limit} if chain["endpoint"] is None else chain)).allowed


# ---------------------------------------------------------------------- KMS keys
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234"
ACCOUNT_ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
MAY_DECRYPT = allow("kms:*")


@pytest.mark.parametrize(
    ("how", "effect"),
    [
        ({"resource": None}, IMPLICIT), ({"resource": None, "caller": ROOT}, IMPLICIT),
        ({"resource": granting({"AWS": OTHER}, action="kms:*")}, IMPLICIT),
        ({"resource": granting({"AWS": OTHER}, action="kms:*"), "caller": ROOT}, IMPLICIT),
        ({"resource": granting(ACCOUNT_ROOT, action="kms:*")}, ALLOWED),
        ({"resource": granting(ACCOUNT_ROOT, action="kms:*"), "caller": ROOT}, ALLOWED),
        ({"resource": granting(ACCOUNT_ROOT, action="kms:*"), "identity": ()}, IMPLICIT),
        ({"resource": granting(ACCOUNT_ROOT, action="kms:Encrypt")}, IMPLICIT),
        ({"resource": granting(USER_ARN, action="kms:Decrypt"), "identity": ()}, ALLOWED),
        ({"resource": granting(USER_ARN, action="kms:Decrypt"), "identity": deny("kms:*")}, EXPLICIT),
        ({"resource": granting(USER_ARN, action="kms:Decrypt", effect="Deny")}, EXPLICIT),
        ({"resource": granting({"AWS": ROLE_ARN}, action="kms:Decrypt"), "caller": SESSION, "identity": ()}, ALLOWED),
        ({"resource": granting({"AWS": ROLE_ARN}, action="kms:Decrypt"), "caller": SESSION, "boundary": ELSEWHERE}, IMPLICIT),
        ({"resource": granting({"AWS": ACCOUNT}, action="kms:*"), "account": OTHER, "identity": ()}, IMPLICIT),
        ({"resource": granting({"AWS": ACCOUNT}, action="kms:*"), "account": OTHER}, ALLOWED),
        ({"resource": granting({"AWS": OTHER}, action="kms:*"), "account": OTHER}, IMPLICIT),
    ],
)  # fmt: skip
def test_the_policy_of_a_key_is_the_root_of_trust(how: dict[str, Any], effect: Effect) -> None:
    """AWS KMS Developer Guide, "Key policies": identity policies allow nothing that the key policy does not hand on."""
    given = {"identity": MAY_DECRYPT, "caller": USER, "action": "kms:Decrypt", "arn": KEY} | how
    assert ask(**given).effect is effect


@pytest.mark.parametrize("arn", ["*", f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/key/1"])
def test_where_no_key_is_asked_about_identity_policies_decide(arn: str) -> None:
    assert ask(identity=MAY_DECRYPT, action="kms:CreateAlias", arn=arn).effect is ALLOWED
    assert ask(action="kms:CreateAlias", arn=arn).effect is IMPLICIT
