"""The audit record of a call: one CloudTrail-shaped JSON event (AWS CloudTrail User Guide: "Record contents")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ringfence.api.ops.context import Call, Filled, Memo, Params
from ringfence.api.wire import model
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.model.errors import ApiError

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
#: parameters that hold secrets though the service model does not mark them
SECRET = frozenset(
    {
        "UserData", "SecretAccessKey", "SessionToken", "AuthenticationCode1", "AuthenticationCode2", "TokenCode",
        "KeyMaterial",
    }
)  # fmt: skip
#: member -> what is secret in it, or None when all of it is
_Plan = Mapping[str, Any]


@cache
def _plan(service: str, action: str, reply: bool = False) -> _Plan:
    """Where an operation's parameters or reply hold secrets: members the model marks as sensitive, and SECRET."""
    operation = model.operation(service, action)
    shape = None if operation is None else operation.output_shape if reply else operation.input_shape
    return _secrets(shape, ()) if shape is not None else {}


def _secrets(shape: Any, above: tuple[str, ...]) -> _Plan:
    while shape.type_name in ("list", "map"):
        shape = shape.member if shape.type_name == "list" else shape.value
    if shape.type_name != "structure" or shape.name in above:
        return {}
    plan: dict[str, Any] = {}
    for name, member in shape.members.items():
        if name in SECRET or member.metadata.get("sensitive"):
            plan[name] = None
        elif inner := _secrets(member, (*above, shape.name)):
            plan[name] = inner
    return plan


def redacted(value: Any, plan: _Plan) -> Any:
    """Parameters or a reply without what the plan says is secret."""
    if not plan:
        return value
    if isinstance(value, (Memo, Filled)):
        value = value.fill()
    if isinstance(value, list):
        return [redacted(item, plan) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: HIDDEN if name in plan and plan[name] is None else redacted(item, plan.get(name) or {})
        for name, item in value.items()
    }


def _plain(value: Any) -> Any:
    """What JSON has no form of its own for."""
    if isinstance(value, (Memo, Filled)):
        return value.fill()
    return value.isoformat() if isinstance(value, datetime) else repr(value)


_JSON = json.JSONEncoder(default=_plain, separators=(",", ":"), check_circular=False).encode


def _error(service: str, error: ApiError) -> dict[str, str]:
    """AWS: EC2's events name the side at fault before the code, other services' do not."""
    side = ("Client." if error.status < 500 else "Server.") if service == "ec2" else ""
    return {"errorCode": side + error.code, "errorMessage": error.message}


def _session(principal: Principal) -> dict[str, Any]:
    """`sessionContext` of temporary credentials (CloudTrail User Guide: "CloudTrail userIdentity element")."""
    session = principal.session
    if session is None:
        return {}
    created = datetime.fromtimestamp(session.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    mfa = "false" if session.mfa_at is None else "true"
    context: dict[str, Any] = {"attributes": {"creationDate": created, "mfaAuthenticated": mfa}}
    if session.issuer_arn is not None and session.issuer_arn != principal.arn:
        kind = "Role" if principal.kind is PrincipalKind.ROLE else "IAMUser"
        context["sessionIssuer"] = {
            "type": "Root" if session.issuer_id == principal.account_id else kind,
            "principalId": session.issuer_id,
            "arn": session.issuer_arn,
            "accountId": principal.account_id,
            "userName": session.issuer_arn.rpartition("/")[2],
        }
    if session.provider is not None:
        context["webIdFederationData"] = {"federatedProvider": session.provider, "attributes": {}}
    if session.source_identity is not None:
        context["sourceIdentity"] = session.source_identity
    delivery = dict(session.keys).get("ec2:roledelivery")
    if delivery is not None:
        context["ec2RoleDelivery"] = delivery
    return {"sessionContext": context}


def record(
    call: Call, params: Params | None, *, read_only: bool, error: ApiError | None = None, reply: Params | None = None
) -> bytes:
    """The event of an authenticated call; `reply`: what a call that changed something was answered."""
    principal = call.principal
    event: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": principal.kind.value,
            "principalId": principal.user_id,
            "arn": principal.arn,
            "accountId": principal.account_id,
            "accessKeyId": principal.access_key_id,
            **({"userName": principal.name} if principal.kind is PrincipalKind.USER else {}),
            **_session(principal),
        },
        "eventTime": call.timestamp,
        "eventSource": f"{call.service}.amazonaws.com",
        "eventName": call.action,
        "awsRegion": call.region,
        "sourceIPAddress": call.source_ip,
        "userAgent": call.user_agent,
        "requestParameters": redacted(params, _plan(call.service, call.action)) if params else None,
        "requestID": call.request_id,
        "eventID": call.ids.uuid(),
        "readOnly": read_only,
        "eventType": "AwsApiCall",
        "recipientAccountId": principal.account_id,
    }
    if error is not None:
        event |= _error(call.service, error)
    if reply:
        event["responseElements"] = redacted(reply, _plan(call.service, call.action, reply=True))
    return _JSON(event).encode()


def refused(
    *, service: str, action: str, region: str, time: str, source_ip: str, user_agent: str, request_id: str,
    event_id: str, access_key_id: str, error: ApiError,
) -> bytes:  # fmt: skip
    """The event of a call whose caller could not be authenticated."""
    event = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "Unknown", "accessKeyId": access_key_id},
        "eventTime": time,
        "eventSource": f"{service}.amazonaws.com",
        "eventName": action,
        "awsRegion": region,
        "sourceIPAddress": source_ip,
        "userAgent": user_agent,
        **_error(service, error),
        "requestParameters": None,
        "requestID": request_id,
        "eventID": event_id,
        "eventType": "AwsApiCall",
    }
    return _JSON(event).encode()
