"""Seeded faults of the evaluator: ways to be wrong that others have been wrong in. The differential must kill each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ringfence.identity import compiled, conditions, evaluate, patterns
from ringfence.identity.compiled import Match
from ringfence.identity.principal import PrincipalKind
from ringfence.identity.question import Effect, Layer, Policies, Question
from tests.differential.iam_compare import Decide, decided

#: patches, and may return another way to ask
Seed = Callable[[pytest.MonkeyPatch], Decide | None]
FAULTS: dict[str, Seed] = {}


def fault(seed: Seed) -> Seed:
    FAULTS[seed.__name__.replace("_", "-")] = seed
    return seed


def with_policies(change: Callable[[Question, Policies], tuple[Question, Policies]]) -> Decide:
    """The true evaluator, asked something else."""
    return lambda question, policies: decided(*change(question, policies))


def without(**layers: Any) -> Decide:
    return with_policies(lambda question, policies: (question, replace(policies, **layers)))


# ------------------------------------------------------------------------------------------------------- layers left out
@fault
def boundary_ignored(_patch: pytest.MonkeyPatch) -> Decide:
    return without(boundary=None)


@fault
def session_policy_ignored(_patch: pytest.MonkeyPatch) -> Decide:
    def change(question: Question, policies: Policies) -> tuple[Question, Policies]:
        if policies.session is not None:
            policies = replace(policies, session=policies.identity)
        return question, policies

    return with_policies(change)


@fault
def endpoint_policy_ignored(_patch: pytest.MonkeyPatch) -> Decide:
    return without(endpoint=None)


@fault
def resource_control_ignored(_patch: pytest.MonkeyPatch) -> Decide:
    return without(resource_control=())


@fault
def service_control_ignored(_patch: pytest.MonkeyPatch) -> Decide:
    return without(service_control=())


@fault
def one_level_of_service_control_is_enough(_patch: pytest.MonkeyPatch) -> Decide:
    """The levels thrown together, so that an Allow anywhere counts for all."""

    def change(question: Question, policies: Policies) -> tuple[Question, Policies]:
        every = tuple(policy for level in policies.service_control for policy in level)
        return question, replace(policies, service_control=(every,) if policies.service_control else ())

    return with_policies(change)


@fault
def service_control_binds_service_linked_roles(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluate, "_service_linked", lambda _caller: False)


@fault
def root_needs_identity_policies(_patch: pytest.MonkeyPatch) -> Decide:
    def change(question: Question, policies: Policies) -> tuple[Question, Policies]:
        who = question.principal
        return replace(question, principal=replace(who, kind=PrincipalKind.USER) if who.is_root else who), policies

    return with_policies(change)


@fault
def only_the_first_target_is_asked(_patch: pytest.MonkeyPatch) -> Decide:
    return with_policies(lambda question, policies: (replace(question, targets=question.targets[:1]), policies))


@fault
def only_the_first_policy_counts(_patch: pytest.MonkeyPatch) -> Decide:
    return with_policies(lambda question, policies: (question, replace(policies, identity=policies.identity[:1])))


@fault
def the_request_hides_the_resources_keys(_patch: pytest.MonkeyPatch) -> Decide:
    def change(question: Question, policies: Policies) -> tuple[Question, Policies]:
        context = {key: value for target in question.targets for key, value in target.context.items()}
        targets = tuple(replace(target, context={}) for target in question.targets)
        return replace(question, context={**context, **question.context}, targets=targets), policies

    return with_policies(change)


# ------------------------------------------------------------------------------------------------------------- the chain
@fault
def a_deny_does_not_win(patch: pytest.MonkeyPatch) -> None:
    true = evaluate._ask

    def wrong(*args: Any) -> Any:
        found = true(*args)
        if found.allowed:
            found.denied = []
        return found

    patch.setattr(evaluate, "_ask", wrong)


@fault
def across_accounts_one_side_is_enough(_patch: pytest.MonkeyPatch) -> Decide:
    def change(question: Question, policies: Policies) -> tuple[Question, Policies]:
        account = question.principal.account_id
        return replace(question, targets=tuple(replace(t, account_id=account) for t in question.targets)), policies

    return with_policies(change)


@fault
def both_sides_needed_within_an_account(_patch: pytest.MonkeyPatch) -> Decide:
    def change(question: Question, policies: Policies) -> tuple[Question, Policies]:
        return replace(
            question, targets=tuple(replace(t, account_id="000000000000") for t in question.targets)
        ), policies

    return with_policies(change)


@fault
def a_trust_policy_is_not_needed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluate, "_must_trust", lambda *_: False)


@fault
def a_key_policy_is_not_needed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluate, "_is_key", lambda _arn: False)


@fault
def a_key_policy_is_needed_where_there_is_no_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluate, "_is_key", lambda _arn: True)


def _matching(patch: pytest.MonkeyPatch, change: dict[Match, Match | None]) -> None:
    true = compiled._match

    def wrong(*args: Any) -> Match | None:
        found = true(*args)
        return change.get(found, found) if found is not None else None

    patch.setattr(compiled, "_match", wrong)


@fault
def a_grant_to_the_account_grants_to_its_users(patch: pytest.MonkeyPatch) -> None:
    _matching(patch, {Match.ACCOUNT: Match.DIRECT})


@fault
def a_grant_to_the_role_is_one_to_the_session(patch: pytest.MonkeyPatch) -> None:
    _matching(patch, {Match.ROLE: Match.DIRECT})


@fault
def a_grant_to_the_session_is_limited(patch: pytest.MonkeyPatch) -> None:
    _matching(patch, {Match.DIRECT: Match.ROLE})


@fault
def a_grant_to_everybody_is_one_to_the_account(patch: pytest.MonkeyPatch) -> None:
    _matching(patch, {Match.ANY: Match.ACCOUNT})


@fault
def roles_are_not_seen_behind_sessions(patch: pytest.MonkeyPatch) -> None:
    _matching(patch, {Match.ROLE: None})


@fault
def federated_users_need_no_session_policy(_patch: pytest.MonkeyPatch) -> Decide:
    def change(question: Question, policies: Policies) -> tuple[Question, Policies]:
        if question.principal.kind is PrincipalKind.FEDERATED and policies.session is None:
            policies = replace(policies, session=policies.identity)
        return question, policies

    return with_policies(change)


def _all_but(patch: pytest.MonkeyPatch, wrong: Callable[..., Any]) -> None:
    patch.setattr(compiled, "_all_but", wrong)


@fault
def not_principal_spares_everybody_it_names_in_any_way(patch: pytest.MonkeyPatch) -> None:
    _all_but(patch, lambda named, allows: lambda who, _b: None if allows or compiled._match(named, who) else Match.ANY)


@fault
def not_principal_spares_callers_with_a_boundary(patch: pytest.MonkeyPatch) -> None:
    true = compiled._all_but
    _all_but(patch, lambda named, allows: lambda who, _boundary: true(named, allows)(who, False))


# ------------------------------------------------------------------------------------------- actions, resources, variables
@fault
def actions_know_letter_case(patch: pytest.MonkeyPatch) -> None:
    def wrong(given: Any) -> Callable[[str], bool]:
        inverted = "NotAction" in given
        values = compiled.texts(given["NotAction" if inverted else "Action"])
        wild = [patterns.glob(value.replace("Subnet", "subnet"), variables=False) for value in values]
        return lambda action: any(match(action, {}) for match in wild) is not inverted

    patch.setattr(compiled, "_action", wrong)


@fault
def question_marks_are_letters(patch: pytest.MonkeyPatch) -> None:
    true = patterns._expression
    patch.setattr(patterns, "_expression", lambda pieces, star, any: true(pieces, star, r"\?"))


@fault
def not_action_is_action(patch: pytest.MonkeyPatch) -> None:
    true = compiled._action
    patch.setattr(
        compiled,
        "_action",
        lambda given: true(
            {**given, "Action": given.get("NotAction", given.get("Action"))}
            if "NotAction" not in given
            else {"Action": given["NotAction"]}
        ),
    )


@fault
def not_resource_is_any_resource(patch: pytest.MonkeyPatch) -> None:
    true = compiled._resource
    patch.setattr(compiled, "_resource", lambda given, *more: None if "NotResource" in given else true(given, *more))


@fault
def all_wildcards_cross_colons_in_resources(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(patterns, "resource", patterns.glob)


@fault
def wildcards_never_cross_colons_in_resources(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(patterns, "resource", patterns.arn)


@fault
def a_star_resource_needs_no_star(patch: pytest.MonkeyPatch) -> None:
    true = patterns.resource
    patch.setattr(
        patterns, "resource", lambda *args, **more: lambda arn, ctx: arn == "*" or true(*args, **more)(arn, ctx)
    )


@fault
def values_of_variables_are_patterns(patch: pytest.MonkeyPatch) -> None:
    true = patterns._value

    def wrong(piece: Any, context: Any) -> Any:
        found = true(piece, context)
        return patterns._Wild.STAR if isinstance(piece, tuple) and found is not None and "*" in found else found

    patch.setattr(patterns, "_value", wrong)


@fault
def defaults_of_variables_ignored(patch: pytest.MonkeyPatch) -> None:
    true = patterns._variable
    patch.setattr(patterns, "_variable", lambda body: made if isinstance(made := true(body), str) else (made[0], None))


@fault
def variables_in_the_old_language(patch: pytest.MonkeyPatch) -> None:
    true = compiled._statement
    patch.setattr(compiled, "_statement", lambda position, given, _variables: true(position, given, True))


@fault
def multi_valued_keys_as_variables(patch: pytest.MonkeyPatch) -> None:
    true = patterns._value

    def wrong(piece: Any, context: Any) -> Any:
        flat = {key: value[0] if isinstance(value, tuple) and value else value for key, value in context.items()}
        return true(piece, flat)

    patch.setattr(patterns, "_value", wrong)


# ------------------------------------------------------------------------------------------------------------ conditions
def _compiling(patch: pytest.MonkeyPatch, change: Callable[[conditions.Name], conditions.Name]) -> None:
    true = conditions.compile_test
    patch.setattr(conditions, "compile_test", lambda name, *args, **more: true(change(name), *args, **more))


@fault
def conditions_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiled, "_tests", lambda *_: ())


@fault
def only_the_first_condition_counts(patch: pytest.MonkeyPatch) -> None:
    true = compiled._tests
    patch.setattr(compiled, "_tests", lambda *args: list(true(*args))[:1])


@fault
def if_exists_ignored(patch: pytest.MonkeyPatch) -> None:
    _compiling(patch, lambda name: replace(name, if_exists=False))


@fault
def if_exists_always(patch: pytest.MonkeyPatch) -> None:
    _compiling(patch, lambda name: replace(name, if_exists=True) if name.base != "null" else name)


@fault
def negated_operators_need_the_key(patch: pytest.MonkeyPatch) -> None:
    true = conditions._single
    patch.setattr(
        conditions, "_single", lambda key, one, absent: lambda ctx: key in ctx and true(key, one, absent)(ctx)
    )


@fault
def negated_values_are_ored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        conditions, "_negated", lambda matchers: lambda value, ctx: any(not match(value, ctx) for match in matchers)
    )


@fault
def all_values_is_any_value(patch: pytest.MonkeyPatch) -> None:
    _compiling(patch, lambda name: replace(name, every=False) if name.every else name)


@fault
def any_value_is_all_values(patch: pytest.MonkeyPatch) -> None:
    _compiling(patch, lambda name: replace(name, every=True) if name.every is False else name)


@fault
def all_values_needs_the_key(patch: pytest.MonkeyPatch) -> None:
    true = conditions.compile_test

    def wrong(name: conditions.Name, key: str, *args: Any, **more: Any) -> Any:
        test = true(name, key, *args, **more)
        return (lambda ctx: bool(ctx.get(key.lower())) and test(ctx)) if name.every else test

    patch.setattr(conditions, "compile_test", wrong)


@fault
def null_is_inverted(patch: pytest.MonkeyPatch) -> None:
    true = conditions._null
    patch.setattr(conditions, "_null", lambda *args: lambda ctx: not true(*args)(ctx))


@fault
def empty_sets_are_not_null(patch: pytest.MonkeyPatch) -> None:
    true = conditions._null
    patch.setattr(
        conditions, "_null", lambda key, values: lambda ctx: true(key, values)({k: v or "x" for k, v in ctx.items()})
    )


@fault
def keys_know_letter_case(patch: pytest.MonkeyPatch) -> None:
    true = conditions.compile_test

    def wrong(name: conditions.Name, key: str, *args: Any, **more: Any) -> Any:
        return true(name, key if key == key.lower() or ":" not in key else key + "!", *args, **more)

    patch.setattr(conditions, "compile_test", wrong)


def _operator(patch: pytest.MonkeyPatch, name: str, other: str) -> None:
    patch.setitem(conditions.OPERATORS, name, conditions.OPERATORS[other])


@fault
def string_equals_takes_wildcards(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "stringequals", "stringlike")


@fault
def string_like_takes_no_wildcards(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "stringlike", "stringequals")


@fault
def string_equals_ignores_case(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "stringequals", "stringequalsignorecase")


@fault
def arn_like_is_string_like(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "arnlike", "stringlike")
    _operator(patch, "arnequals", "stringlike")


@fault
def arn_equals_takes_no_wildcards(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "arnequals", "stringequals")


@fault
def numbers_are_texts(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "numericequals", "stringequals")


@fault
def less_than_is_less_or_equal(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "numericlessthan", "numericlessthanequals")


@fault
def greater_or_equal_is_greater(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "dategreaterthanequals", "dategreaterthan")


@fault
def dates_are_texts(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "dateequals", "stringequals")


@fault
def time_zones_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conditions, "_offset", lambda _zone: 0)


@fault
def bool_knows_letter_case(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "bool", "stringequals")


@fault
def addresses_are_texts(patch: pytest.MonkeyPatch) -> None:
    _operator(patch, "ipaddress", "stringequals")


@fault
def ipv6_is_never_in_a_block(patch: pytest.MonkeyPatch) -> None:
    true = conditions.OPERATORS["ipaddress"]

    def matcher(value: str, *, variables: bool) -> Any:
        test = true.matcher(value, variables=variables)
        return lambda given, ctx: ":" not in given and test(given, ctx)

    patch.setitem(conditions.OPERATORS, "ipaddress", replace(true, matcher=matcher))


@fault
def unknown_keys_allow(_patch: pytest.MonkeyPatch) -> Decide:
    """A missing key holds, as if the operator had IfExists, but only where that allows."""

    def wrong(question: Question, policies: Policies) -> Effect:
        loose = re.compile(r'"((?:String|Numeric|Date|Arn)\w*?)": ')
        identity = tuple(
            replace(p, text=loose.sub(r'"\1IfExists": ', p.text.replace("IfExists", ""))) for p in policies.identity
        )
        return decided(question, replace(policies, identity=identity))

    return wrong


@fault
def resource_layer_forgotten_for_denies(patch: pytest.MonkeyPatch) -> None:
    true = evaluate._ask_resource

    def wrong(layer: Layer, *args: Any) -> Any:
        found = true(layer, *args)
        found.denied = []
        return found

    patch.setattr(evaluate, "_ask_resource", wrong)
