"""What a refused caller is told (IAM-33; IAM User Guide: "Troubleshoot access denied error messages"; AWS STS API Reference:
DecodeAuthorizationMessage).

Whoever was refused learns who, what, on what, and which kind of policy refused. The rest (statements, values of keys) is
sealed: only DecodeAuthorizationMessage, which needs a permission of its own, opens it.
"""

from __future__ import annotations

import base64
import binascii
import json

from ringfence.api.wire import model
from ringfence.identity.question import Context, Decision, Effect, Layer, Question
from ringfence.identity.sealing import Sealer, SealError
from ringfence.model.errors import ApiError, fault

PURPOSE = "authorization-message"
_POLICY = {
    Layer.ROOT: "identity-based policy",
    Layer.IDENTITY: "identity-based policy",
    Layer.BOUNDARY: "permissions boundary",
    Layer.SESSION: "session policy",
    Layer.RESOURCE: "resource-based policy",
    Layer.ENDPOINT: "VPC endpoint policy",
    Layer.SERVICE_CONTROL: "service control policy",
    Layer.RESOURCE_CONTROL: "resource control policy",
}


def refusal(question: Question, decision: Decision, sealer: Sealer | None, service: str) -> ApiError:
    """The fault of the service that was called: EC2's UnauthorizedOperation, or AccessDenied."""
    text = sentence(question, decision)
    if service != "ec2":
        plain = model.protocol(service) in ("query", "rest-xml") or model.exceptions(service) is not None
        return fault("AccessDenied" if plain else "AccessDeniedException", message=text)
    message = f"You are not authorized to perform this operation. {text}"
    if sealer is not None:
        message += f". Encoded authorization failure message: {encoded(question, decision, sealer)}"
    return fault("UnauthorizedOperation", message=message)


def sentence(question: Question, decision: Decision) -> str:
    """`User: ARN is not authorized to perform: ACTION on resource: ARN because no … policy allows the ACTION action`."""
    policy = _POLICY[decision.layer]
    if decision.layer is Layer.RESOURCE and question.action.startswith("sts:"):
        policy = "role trust policy"
    what = f"User: {question.principal.arn} is not authorized to perform: {question.action}"
    where = f" on resource: {decision.target}" if decision.target != "*" else ""
    if decision.effect is Effect.EXPLICIT_DENY:
        article = "an" if policy.startswith("identity") else "a"
        return f"{what}{where} with an explicit deny in {article} {policy}"
    return f"{what}{where} because no {policy} allows the {question.action} action"


# ---------------------------------------------------------------------- the encoded message
def encoded(question: Question, decision: Decision, sealer: Sealer) -> str:
    """The whole story, sealed. It is bound to the account: only that account's callers can have it decoded."""
    sealed = sealer.seal(json.dumps(_story(question, decision)).encode(), _purpose(question.principal.account_id))
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def decoded(text: str, account_id: str, sealer: Sealer) -> str:
    """The JSON of an encoded message. ApiError InvalidAuthorizationMessageException when it is none of this account's."""
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return sealer.open(sealed, _purpose(account_id)).decode()
    except (SealError, binascii.Error, ValueError):
        raise fault("InvalidAuthorizationMessageException") from None


def _purpose(account_id: str) -> str:
    return f"{PURPOSE}/{account_id}"


def _story(question: Question, decision: Decision) -> dict[str, object]:
    target = next((one for one in question.targets if one.arn == decision.target), None)
    context = {**question.context, **(target.context if target is not None else {})}
    explicit = decision.effect is Effect.EXPLICIT_DENY
    return {
        "allowed": False,
        "explicitDeny": explicit,
        "matchedStatements": {
            "items": [
                {
                    "statementId": reason.sid or "",
                    "effect": "DENY",
                    "policy": reason.policy,
                    "statement": reason.statement,
                }
                for reason in (decision.reasons if explicit else ())
            ]
        },
        "failures": {"items": []},
        "context": {
            "principal": {"id": question.principal.user_id, "arn": question.principal.arn},
            "action": question.action,
            "resource": decision.target,
            "conditions": {"items": _conditions(context)},
        },
    }


def _conditions(context: Context) -> list[dict[str, object]]:
    return [
        {"key": key, "values": {"items": [{"value": one} for one in ((value,) if isinstance(value, str) else value)]}}
        for key, value in sorted(context.items())
    ]
