"""The policy simulator (IAM-41; IAM API Reference: SimulatePrincipalPolicy, SimulateCustomPolicy, GetContextKeysFor…).

The same evaluator decides here as for real calls. AWS: nothing is known of the request but what the caller says, so the
condition keys that are not given are reported as missing; resources are the caller's account's unless ResourceOwner says
otherwise; without a ResourcePolicy the trust that assuming a role needs is taken as given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import entities
from ringfence.api.ops.iam.pages import page
from ringfence.api.ops.iam.positions import statement_span
from ringfence.api.ops.iam.serve import iam
from ringfence.identity import document
from ringfence.identity.compiled import compiled
from ringfence.identity.credentials import user_principal
from ringfence.identity.document import DocumentKind, conditions_of, read, statements_of
from ringfence.identity.evaluate import decide
from ringfence.identity.gather import ACCOUNT_WIDE, policies_of
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Attached, Context, Decision, Effect, Layer, Policies, Question, Target
from ringfence.model.errors import fault
from ringfence.model.kinds import ROLE, USER
from ringfence.model.nouns.identity import Group, Role, User
from ringfence.model.world import World, put

_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{\s*([A-Za-z][^,}]*?)\s*[,}]")
_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
_TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"sts:*"}]}'
_BY_TRUST = frozenset({"sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity"})
RESOURCE_POLICY = "ResourcePolicy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Whose permissions are asked about, and the policies that make them up. `kinds`: policy name -> SourcePolicyType."""

    principal: Principal
    policies: Policies
    kinds: Mapping[str, str]


# ---------------------------------------------------------------------- whose
def _principal_of(entity: User | Role | Group) -> Principal:
    if isinstance(entity, User):
        return user_principal(entity, "")
    if isinstance(entity, Role):
        session = Session(
            name="simulation", issued_at=0, expires_at=0, issuer_arn=ROLE.arn(entity), issuer_id=entity.id
        )
        arn = f"arn:aws:sts::{entity.owner_id}:assumed-role/{entity.name}/simulation"
        return Principal(
            account_id=entity.owner_id, arn=arn, user_id=f"{entity.id}:simulation", kind=PrincipalKind.ROLE,
            name=entity.name, tags=entity.tags, session=session,
        )  # fmt: skip
    arn = f"arn:aws:iam::{entity.owner_id}:group{entity.path}{entity.name}"  # stands for any member
    return Principal(account_id=entity.owner_id, arn=arn, user_id=entity.id, kind=PrincipalKind.USER, name=entity.name)


def _source(call: Call, world: World, arn: str) -> User | Role | Group:
    """The user, group or role of an ARN. ApiError NoSuchEntity, InvalidInput."""
    prefix, _, path = arn.partition(f"arn:aws:iam::{call.account_id}:")
    noun, _, rest = path.partition("/")
    for sort in entities.SORTS:
        if prefix == "" and noun == sort.noun.lower():
            found = entities.named(world, sort.kind, call.account_id, rest.rpartition("/")[2])
            if found is not None and sort.kind.arn(found) == arn:
                return found  # type: ignore[no-any-return]
            raise fault("NoSuchEntity", message=f"The entity {arn} cannot be found.")
    raise fault("InvalidInput", message=f"Invalid Entity Arn: {arn}")


def _own_policies(world: World, entity: User | Role | Group, principal: Principal) -> Policies:
    if not isinstance(entity, Group):
        return policies_of(world, principal, entity.owner_id)
    # a group is nobody: ask as if somebody were in it and had nothing else
    nobody = User(
        id="-", owner_id=entity.owner_id, region=entity.region, name=entity.name, created=0, groups=(entity.id,)
    )
    return policies_of(world.apply(put(USER, nobody)), replace(principal, user_id="-"), entity.owner_id)


def _kinds(entity: User | Role | Group, policies: Policies) -> dict[str, str]:
    """AWS: inline policies are named by where they stand, managed ones by whose they are."""
    kinds = {}
    for policy in policies.identity:
        if policy.name.startswith("arn:"):
            kinds[policy.name] = "aws-managed" if policy.name.startswith("arn:aws:iam::aws:") else "user-managed"
        elif policy.name.startswith(ACCOUNT_WIDE):
            kinds[policy.name] = "none"
        else:
            own = policy.name.startswith(f"{entity.name}/")
            kinds[policy.name] = type(entity).__name__.lower() if own else "group"
    return kinds


def _inputs(params: Params, name: str) -> tuple[Attached, ...]:
    texts = params.get(name) or ()
    for text in texts:
        document.malformed(text, DocumentKind.IDENTITY, "InvalidInput")
    return tuple(Attached(f"{name}.{number}", text) for number, text in enumerate(texts, 1))


def _of_principal(call: Call, world: World, params: Params) -> Simulation:
    if params.get("PolicyExclusionList"):
        raise fault("UnsupportedOperation", message="PolicyExclusionList is not supported here")
    entity = _source(call, world, params["PolicySourceArn"])
    principal = _principal_of(entity)
    policies = _own_policies(world, entity, principal)
    kinds, more = _kinds(entity, policies), _inputs(params, "PolicyInputList")
    return _bounded(
        Simulation(principal=principal, policies=replace(policies, identity=(*policies.identity, *more)), kinds=kinds),
        params,
    )


def _of_texts(call: Call, params: Params) -> Simulation:
    if params.get("OrderedOrganizationPolicyInputList"):
        raise fault("UnsupportedOperation", message="OrderedOrganizationPolicyInputList is not supported here")
    caller = params.get("CallerArn") or f"arn:aws:iam::{call.account_id}:user/simulation"
    fields = caller.split(":", 5)
    if len(fields) != 6 or not fields[5].startswith(("user/", "root")):
        raise fault("InvalidInput", message=f"Invalid Entity Arn: {caller}")
    name = fields[5].rpartition("/")[2]
    principal = Principal(account_id=fields[4], arn=caller, user_id=name, kind=PrincipalKind.USER, name=name)
    policies = Policies(identity=_inputs(params, "PolicyInputList"))
    return _bounded(Simulation(principal=principal, policies=policies, kinds={}), params)


def _bounded(simulation: Simulation, params: Params) -> Simulation:
    """With the boundary that the call gives in place of the entity's own."""
    given = _inputs(params, "PermissionsBoundaryPolicyInputList")
    if not given:
        return simulation
    return replace(simulation, policies=replace(simulation.policies, boundary=given[0]))


# ---------------------------------------------------------------------- what is asked
def _context(principal: Principal, params: Params) -> dict[str, str | tuple[str, ...]]:
    """The caller's own keys, and what the call says of the request laid over them."""
    context: dict[str, str | tuple[str, ...]] = {
        "aws:principalarn": principal.arn,
        "aws:principalaccount": principal.account_id,
        "aws:userid": principal.user_id,
    }
    if principal.kind is PrincipalKind.USER:
        context["aws:username"] = principal.name
    context |= {f"aws:principaltag/{key.lower()}": value for key, value in principal.tags}
    for entry in params.get("ContextEntries") or ():
        values = tuple(entry.get("ContextKeyValues") or ())
        many = (entry.get("ContextKeyType") or "string").endswith("List")
        if entry.get("ContextKeyName"):
            context[entry["ContextKeyName"].lower()] = values if many or len(values) != 1 else values[0]
    return context


def _target(principal: Principal, action: str, arn: str, params: Params) -> Target:
    owner = (params.get("ResourceOwner") or principal.account_id).removeprefix("arn:aws:iam::").removesuffix(":root")
    text = params.get("ResourcePolicy")
    if text:
        document.malformed(text, DocumentKind.RESOURCE, "InvalidInput")
    elif action.lower() in _BY_TRUST:
        return Target(arn=arn, account_id=owner, policy=Attached("-", _TRUST % principal.account_id))
    return Target(arn=arn, account_id=owner, policy=Attached(RESOURCE_POLICY, text) if text else None)


def _results(simulation: Simulation, params: Params) -> Iterator[dict[str, Any]]:
    """One result for each action on each resource."""
    context = _context(simulation.principal, params)
    for action in params["ActionNames"]:
        if not _ACTION.fullmatch(action):
            raise fault("InvalidInput", message=f"Invalid Entity Action: {action}")
        for arn in params.get("ResourceArns") or ("*",):
            target = _target(simulation.principal, action, arn, params)
            yield _result(simulation, Question(
                principal=simulation.principal, action=action, targets=(target,), context=context,
            ))  # fmt: skip


def _result(simulation: Simulation, question: Question) -> dict[str, Any]:
    policies = simulation.policies
    decision = decide(question, policies)
    shown: dict[str, Any] = {
        "EvalActionName": question.action,
        "EvalResourceName": question.targets[0].arn,
        "EvalDecision": decision.effect.value,
        "MatchedStatements": list(_matched(simulation, question, decision)),
        "MissingContextValues": _missing(_texts(policies, question.targets[0]), question.action, question.context),
    }
    if policies.boundary is not None:
        alone = Policies(identity=(policies.boundary,))
        shown["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": decide(question, alone).allowed}
    if policies.service_control:
        alone = Policies(identity=(Attached("-", _ALL),), service_control=policies.service_control)
        shown["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": decide(question, alone).allowed}
    return shown


def _matched(simulation: Simulation, question: Question, decision: Decision) -> Iterator[dict[str, Any]]:
    """The statements that decided, with the places where they stand. AWS: none for an implicit deny."""
    if decision.effect is Effect.IMPLICIT_DENY:
        return
    texts = dict(_texts(simulation.policies, question.targets[0]))
    for reason in decision.reasons:
        kind = "resource" if reason.layer is Layer.RESOURCE else simulation.kinds.get(reason.policy, "none")
        name = reason.policy.replace("/", "_") if kind in ("user", "group", "role") else reason.policy
        shown: dict[str, Any] = {
            "SourcePolicyId": f"{kind}_{name}" if kind in ("user", "group", "role") else name,
            "SourcePolicyType": kind,
        }
        span = statement_span(texts.get(reason.policy, ""), reason.statement)
        if span is not None:
            shown |= {"StartPosition": span[0], "EndPosition": span[1]}
        yield shown


def _texts(policies: Policies, target: Target) -> list[tuple[str, str]]:
    """Name and text of everything that may decide."""
    held = [*policies.identity, *(policies.session or ())]
    held += [policy for policy in (policies.boundary, target.policy) if policy is not None]
    held += [policy for level in policies.service_control for policy in level]
    return [(policy.name, policy.text) for policy in held]


# ---------------------------------------------------------------------- condition keys
def _keys(statement: Mapping[str, Any]) -> Iterator[str]:
    """The keys that a statement's conditions and variables need, as they are written."""
    for _, key, values in conditions_of(statement):
        yield key
        for value in values:
            yield from _VARIABLE.findall(value)
    for element in ("Resource", "NotResource"):
        for value in document.texts(statement.get(element) or []):
            yield from _VARIABLE.findall(value)


def context_keys(texts: list[str]) -> list[str]:
    """Every key in these documents, once, in the order of their first use. ApiError InvalidInput."""
    found: dict[str, str] = {}
    for text in texts:
        document.malformed(text, DocumentKind.IDENTITY, "InvalidInput")
        for statement in statements_of(read(text)):
            for key in _keys(statement):
                found.setdefault(key.lower(), key)
    return list(found.values())


def _missing(texts: list[tuple[str, str]], action: str, context: Context) -> list[str]:
    """The keys that statements about the action need and nobody gave."""
    found: dict[str, str] = {}
    for _, text in texts:
        try:
            statements = statements_of(read(text))
        except document.PolicyError:
            continue  # denies everything, and asks for nothing
        for one in compiled(text).about(action.lower()):
            for key in _keys(statements[one.position]):
                if key.lower() not in context:
                    found.setdefault(key.lower(), key)
    return list(found.values())


# ---------------------------------------------------------------------- operations
def _answer(simulation: Simulation, params: Params) -> Outcome:
    results = list(_results(simulation, params))
    numbered, more = page(list(enumerate(results)), params, key=lambda item: str(item[0]))
    return Outcome({"EvaluationResults": [result for _, result in numbered], **more})


@iam("SimulatePrincipalPolicy")
def simulate_principal_policy(call: Call, world: World, params: Params) -> Outcome:
    """What a user, group or role may do. NoSuchEntity, InvalidInput."""
    return _answer(_of_principal(call, world, params), params)


@iam("SimulateCustomPolicy")
def simulate_custom_policy(call: Call, world: World, params: Params) -> Outcome:
    """What policies that need not exist would allow. InvalidInput."""
    return _answer(_of_texts(call, params), params)


@iam("GetContextKeysForCustomPolicy")
def get_context_keys_for_custom_policy(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({"ContextKeyNames": context_keys(params["PolicyInputList"])})


@iam("GetContextKeysForPrincipalPolicy")
def get_context_keys_for_principal_policy(call: Call, world: World, params: Params) -> Outcome:
    entity = _source(call, world, params["PolicySourceArn"])
    policies = _own_policies(world, entity, _principal_of(entity))
    texts = [policy.text for policy in policies.identity if policy.text]
    return Outcome({"ContextKeyNames": context_keys([*texts, *(params.get("PolicyInputList") or ())])})
