"""The audit record of a call: one CloudTrail-shaped JSON event (AWS CloudTrail User Guide: "Record contents")."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ringfence.api.ops.context import Call, Params
from ringfence.model.errors import ApiError

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
#: request parameters that are, or may hold, secrets
SECRET = frozenset({"UserData", "SecretAccessKey", "Password", "NewPassword", "OldPassword", "PrivateKey", "SecretString",
                    "SAMLAssertion", "WebIdentityToken", "SessionToken", "AuthenticationCode1", "AuthenticationCode2"})  # fmt: skip


def redacted(value: Any) -> Any:
    """Parameters without secrets."""
    if isinstance(value, dict):
        return {name: HIDDEN if name in SECRET else redacted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def record(call: Call, params: Params | None, *, read_only: bool, error: ApiError | None = None) -> bytes:
    """The event of an authenticated call."""
    principal = call.principal
    event: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "Root" if principal.is_root else "IAMUser",
            "principalId": principal.user_id,
            "arn": principal.arn,
            "accountId": principal.account_id,
            "accessKeyId": principal.access_key_id,
        },
        "eventTime": call.timestamp,
        "eventSource": f"{call.service}.amazonaws.com",
        "eventName": call.action,
        "awsRegion": call.region,
        "sourceIPAddress": call.source_ip,
        "userAgent": call.user_agent,
        "requestParameters": redacted(params) if params else None,
        "requestID": call.request_id,
        "eventID": call.ids.uuid(),
        "readOnly": read_only,
        "eventType": "AwsApiCall",
        "recipientAccountId": principal.account_id,
    }
    if error is not None:
        event |= {"errorCode": error.code, "errorMessage": error.message}
    return json.dumps(event, default=_plain, separators=(",", ":")).encode()


def refused(
    *, service: str, action: str, region: str, time: str, source_ip: str, user_agent: str, request_id: str,
    access_key_id: str, error: ApiError,
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
        "errorCode": error.code,
        "errorMessage": error.message,
        "requestParameters": None,
        "requestID": request_id,
        "eventType": "AwsApiCall",
    }
    return json.dumps(event, separators=(",", ":")).encode()
