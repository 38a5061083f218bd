"""What is asked of the policies, and what they answer (IAM User Guide: "Policy evaluation logic").

The evaluator (`evaluate.py`) and the executable specification (`spec.py`) answer the same question from the same texts;
they share nothing but this module.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.identity.principal import Principal

#: condition-key name in lower case -> its value; a tuple is a multi-valued key, in which () is present but empty
Context = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Attached:
    """A policy as it applies: `name` (ARN, or `USER/inline-name`) and its JSON text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One resource that the request touches. `arn` is `*` for actions without resource-level permission.

    `context` are the condition keys of this resource (`ec2:vpc`, `aws:resourcetag/stack` …), laid over the request's own.
    `policy` is the resource's own policy, if it has one.
    """

    arn: str
    account_id: str
    context: Context = field(default_factory=dict)
    policy: Attached | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Every policy that limits or permits a principal, apart from those of resources.

    `service_control`: one tuple for each level, from the organization's root down to the account; every level must allow.
    () = the account is in no organization, or is its management account. `resource_control` likewise, for the
    account of the resource. `session` None = no session policy.
    """

    identity: tuple[Attached, ...] = ()
    boundary: Attached | None = None
    session: tuple[Attached, ...] | None = None
    service_control: tuple[tuple[Attached, ...], ...] = ()
    resource_control: tuple[tuple[Attached, ...], ...] = ()
    endpoint: Attached | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May `principal` do `action` to every one of `targets`? All must be allowed (IAM-25)."""

    principal: Principal
    action: str  # ec2:RunInstances
    targets: tuple[Target, ...]
    context: Context = field(default_factory=dict)


class Effect(enum.StrEnum):
    """The answer; values as the policy simulator spells them."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


class Layer(enum.StrEnum):
    """Which kind of policy decided."""

    ROOT = "root"  # no identity policy limits an account's root user
    RESOURCE_CONTROL = "resource-control"
    SERVICE_CONTROL = "service-control"
    ENDPOINT = "vpc-endpoint"
    RESOURCE = "resource"
    IDENTITY = "identity"
    BOUNDARY = "permissions-boundary"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A statement that decided: position counts from 0; `sid` None when it has none."""

    layer: Layer
    policy: str
    statement: int
    sid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a question, about its first refused target (or the last one, when allowed).

    `layer`: explicit deny: where the denying statement stands; implicit deny: the first layer, in the order of
    `Layer`, that does not allow; allowed: the layer that granted. `reasons`: the statements of that layer that matched.
    """

    effect: Effect
    target: str
    layer: Layer
    reasons: tuple[Reason, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.effect is Effect.ALLOWED
