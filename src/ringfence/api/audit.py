"""The audit record of a call: one CloudTrail-shaped JSON event (AWS CloudTrail User Guide: "Record contents")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ringfence.api.ops.context import Call, Filled, Form, Memo, Params
from ringfence.api.wire import model
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.model.errors import ApiError

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
#: parameters that hold secrets though the service model does not mark them
SECRET = frozenset(
    {
        "UserData", "SecretAccessKey", "SessionToken", "AuthenticationCode1", "AuthenticationCode2", "TokenCode",
        "KeyMaterial",
        # what was logged belongs in the logs, once
        "logEvents", "logEventMessages",
        # samples belong in the metrics
        "MetricData", "EntityMetricData",
    }
)  # fmt: skip
#: CloudTrail omits these from KMS's events: ciphertexts, beside what is secret (AWS KMS Developer Guide, "Logging AWS KMS API calls")
_OMITTED = frozenset({"CiphertextBlob", "GrantToken", "GrantTokens", "Plaintext"})
#: service -> the type of the resources that its events name
_RESOURCE_TYPES = {"kms": "AWS::KMS::Key"}
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


_quoted: Callable[[str], str] = json.encoder.encode_basestring_ascii
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
    if session.provider is not None and ":oidc-provider/" in session.provider:
        context["webIdFederationData"] = {"federatedProvider": session.provider, "attributes": {}}
    if session.source_identity is not None:
        context["sourceIdentity"] = session.source_identity
    delivery = dict(session.keys).get("ec2:roledelivery")
    if delivery is not None:
        context["ec2RoleDelivery"] = delivery
    return {"sessionContext": context}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How an event came about that is not just a caller's request to his own account.

    `invoked_by`: the service that made the request for the caller. `identity`: who made it, when that is no caller. `recipient`: the
    account that the event is for. `shared`: what the events of one request in several accounts have in common. `event`: its type.
    """

    invoked_by: str = ""
    identity: Params | None = None
    recipient: str = ""
    shared: str = ""
    event: str = "AwsApiCall"


NO_WAY = Way()


def record(
    call: Call, params: Params | None, *, read_only: bool, error: ApiError | None = None, reply: Params | None = None,
    additional: Params | None = None, touched: tuple[str, ...] = (), way: Way = NO_WAY,
) -> bytes:  # fmt: skip
    """The event of an authenticated call; `reply`: what a call that changed something was answered; `additional`: what the
    record says besides (`additionalEventData`); `touched`: the ARNs of resources."""
    identity, account = _identity(call.principal) if way.identity is None else (_JSON(way.identity), "null")
    if way.invoked_by and way.identity is None:
        identity = f'{identity[:-1]},"invokedBy":{_quoted(way.invoked_by)}}}'
    if way.recipient:
        account = _quoted(way.recipient)
    if call.service == "kms":
        params, reply = _without(params), _without(reply)
    shown = _JSON(redacted(params, _plan(call.service, call.action))) if params else "null"
    end = ""
    if error is not None:
        end = f",{_JSON(_error(call.service, error))[1:-1]}"
    if reply:
        end += f',"responseElements":{_reply(reply, _plan(call.service, call.action, reply=True))}'
    if call.vpc_endpoint is not None:
        end += f',"vpcEndpointId":"{call.vpc_endpoint}"'
    if additional:
        end += f',"additionalEventData":{_JSON(additional)}'
    if touched:
        end += f',"resources":{_JSON(_resources(call.service, touched))}'
    if way.shared:
        end += f',"sharedEventID":"{way.shared}"'
    return (
        f'{{"eventVersion":"1.11","userIdentity":{identity},"eventTime":"{call.timestamp}",'
        f'"eventSource":{_quoted(call.service + ".amazonaws.com")},"eventName":{_quoted(call.action)},'
        f'"awsRegion":{_quoted(call.region)},"sourceIPAddress":{_quoted(call.source_ip)},'
        f'"userAgent":{_quoted(call.user_agent)},"requestParameters":{shown},"requestID":"{call.request_id}",'
        f'"eventID":"{call.ids.uuid()}","readOnly":{"true" if read_only else "false"},"eventType":"{way.event}",'
        f'"recipientAccountId":{account}{end}}}'
    ).encode()


def _without(members: Params | None) -> Params | None:
    return {name: value for name, value in members.items() if name not in _OMITTED} if members else members


def _resources(service: str, arns: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"accountId": arn.split(":")[4], "type": _RESOURCE_TYPES[service], "ARN": arn} for arn in arns]


_identities: dict[int, tuple[Principal, str, str]] = {}  # by identity; an entry holds its principal


def _identity(principal: Principal) -> tuple[str, str]:
    """The JSON of `userIdentity` and of the account; remembered, since keys of long standing keep their Principal."""
    held = _identities.get(id(principal))
    if held is None:
        shown = _federated(principal) or {
            "type": principal.kind.value,
            "principalId": principal.user_id,
            "arn": principal.arn,
            "accountId": principal.account_id,
            "accessKeyId": principal.access_key_id,
            **({"userName": principal.name} if principal.kind is PrincipalKind.USER else {}),
            **_session(principal),
        }
        if len(_identities) >= 1024:
            _identities.clear()
        held = _identities[id(principal)] = (principal, _JSON(shown), _JSON(principal.account_id))
    return held[1], held[2]


def _federated(principal: Principal) -> dict[str, Any]:
    """CloudTrail User Guide, "Values for AWS STS APIs with SAML and web identity federation"; empty for all others."""
    if principal.kind not in (PrincipalKind.WEB_IDENTITY, PrincipalKind.SAML):
        return {}
    whole = principal.kind is PrincipalKind.WEB_IDENTITY
    provider = principal.arn if whole else principal.user_id.removesuffix(f":{principal.name}")
    return {
        "type": principal.kind.value, "principalId": principal.user_id, "userName": principal.name,
        "identityProvider": provider,
    }  # fmt: skip


def _reply(reply: Params, plan: _Plan) -> str:
    """The JSON of a reply; a list of structures of one form is written by the form's own template."""
    if plan:
        return _JSON(redacted(reply, plan))
    out = []
    for name, value in reply.items():
        forms = type(value) is list and value and all(type(item) is Filled for item in value)
        text = f"[{','.join([_filled(item) for item in value])}]" if forms else _JSON(value)
        out.append(f"{_quoted(name)}:{text}")
    return "{" + ",".join(out) + "}"


_templates: dict[int, tuple[Form, str]] = {}  # forms are few and live as long as their module


def _filled(item: Filled) -> str:
    held = _templates.get(id(item.form))
    if held is None:
        held = _templates[id(item.form)] = (item.form, _template(item.form))
    return held[1] % tuple([value if type(value) is int else _quoted(str(value)) for value in item.values])


_MARK = re.compile(r'"\\ue000([0-9]+)\\ue001"')


def _template(form: Form) -> str:
    """The form as JSON, with `%s` in place of its values."""
    text = _JSON(form.make(*[f"\ue000{number}\ue001" for number in range(form.count)])).replace("%", "%%")
    if [int(mark) for mark in _MARK.findall(text)] != list(range(form.count)):
        raise ValueError("a form must show each value once, alone and in order")
    return _MARK.sub("%s", text)


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
