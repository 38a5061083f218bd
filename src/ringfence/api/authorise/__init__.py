"""Every call is authorised before anything is looked up for it (IAM-14 … IAM-42).

A service's module turns a request into questions, each an action on resources with their own context; the evaluator
answers them from the policies that apply to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ringfence.api.authorise import cloudtrail, cloudwatch, ec2, iam, kms, logs, organizations, other, ram, s3, sts
from ringfence.api.authorise.ask import Ask
from ringfence.api.authorise.denial import refusal
from ringfence.api.authorise.request import request_context
from ringfence.api.ops.context import Call, Params
from ringfence.identity.evaluate import decide
from ringfence.identity.gather import policies_of
from ringfence.identity.organization import organization_levels
from ringfence.identity.question import Decision, Policies, Question
from ringfence.model.world import World

Asks = Callable[[Call, World, Params], Iterable[Ask]]
SERVICES: Mapping[str, Asks] = {
    "ec2": ec2.asks, "iam": iam.asks, "s3": s3.asks, "sts": sts.asks, "organizations": organizations.asks, "ram": ram.asks,
    "logs": logs.asks, "monitoring": cloudwatch.asks, "cloudtrail": cloudtrail.asks,
    "kms": kms.asks,
}  # fmt: skip
#: AWS STS API Reference: "No permissions are required"; IAM User Guide, "Granting permissions to create temporary security
#: credentials": policies cannot control GetSessionToken
UNASKED = frozenset({("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")})
#: these ask the policies when they run: only then is it known which second factor, which tags of the calling session and
#: which claims of another provider's token the trust policy is asked about (`ops/sts/roles.py`, `federation.py`)
ASK_THEMSELVES = frozenset(
    {
        ("sts", "AssumeRole"), ("sts", "AssumeRoleWithSAML"), ("sts", "AssumeRoleWithWebIdentity"),
        ("s3", "DeleteObjects"),  # each key by itself: some may be deleted and others not
    }
)  # fmt: skip
_NOT_ASKED = UNASKED | ASK_THEMSELVES
#: AWS Organizations User Guide, "Resource control policies": the services, of those served, that RCPs bind
_RCP_SERVICES = frozenset({"s3", "sts", "kms", "sqs", "secretsmanager", "logs", "dynamodb"})


@dataclass(frozen=True, slots=True)
class Authoriser:
    """May the caller do it? `world` gives the World to judge a call by."""

    world: Callable[[Call], World]

    def __call__(self, call: Call, params: Params) -> None:
        """ApiError UnauthorizedOperation (EC2) or AccessDenied unless every question is answered with yes."""
        if (call.service, call.action) in _NOT_ASKED or _unlimited(call, self.world):
            return
        world = self.world(call)
        for question, decision in answers(call, world, params):
            if not decision.allowed:
                raise refusal(question, decision, call.sealer, call.service)


def _unlimited(call: Call, world: Callable[[Call], World]) -> bool:
    """The root of an account that no organization binds may do everything in its account; roles are none of that. Keys are
    nobody's whom their policy does not name."""
    principal = call.principal
    if not principal.is_root or principal.session is not None or call.service in ("kms", "s3", "sts"):
        return False
    levels = organization_levels(world(call), principal.account_id)
    return not levels.service_control and not levels.resource_control


def questions(call: Call, world: World, params: Params) -> Iterable[Question]:
    """What the call puts to the policies."""
    organization = organization_levels(world, call.account_id)
    context = request_context(call, organization)
    for ask in SERVICES.get(call.service, other.asks)(call, world, params):
        whole = {**context, **ask.context} if ask.context else context
        yield Question(principal=call.principal, action=ask.action, targets=ask.targets, context=whole)


def answers(call: Call, world: World, params: Params) -> Iterable[tuple[Question, Decision]]:
    """Question by question; all must be allowed."""
    for question in questions(call, world, params):
        owner = question.targets[0].account_id if question.targets else call.account_id
        yield question, decide(question, _policies(world, question, owner, call.vpc_endpoint))


def _policies(world: World, question: Question, owner: str, vpc_endpoint: str | None) -> Policies:
    policies = policies_of(world, question.principal, owner, vpc_endpoint)
    unbound = question.action.partition(":")[0] not in _RCP_SERVICES or kms.of_aws(world, question)
    return replace(policies, resource_control=()) if policies.resource_control and unbound else policies
