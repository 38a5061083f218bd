"""Policy documents on their way in: syntax, grammar, size (IAM User Guide: "Grammar of the IAM JSON policy language")."""

from __future__ import annotations

import json
import re

from ringfence.api.ops.context import Call
from ringfence.model.errors import ApiError, fault
from ringfence.model.quotas import INLINE_POLICY_SIZE

_SPACE = re.compile(r"\s+")


def malformed(message: str) -> ApiError:
    return fault("MalformedPolicyDocument", message=message)


def check_identity(text: str) -> None:
    """An identity policy. ApiError MalformedPolicyDocument."""
    _json(text)


def check_trust(text: str) -> None:
    """A role's trust policy. ApiError MalformedPolicyDocument."""
    _json(text)


def _json(text: str) -> None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed("Syntax errors in policy.") from None
    if not isinstance(document, dict):
        raise malformed("Syntax errors in policy.")


def size(text: str) -> int:
    """AWS: whitespace does not count."""
    return len(_SPACE.sub("", text))


def check_inline_size(noun: str, name: str, texts: list[str]) -> None:
    """ApiError LimitExceeded when the inline policies of one identity grow too large together."""
    limit = INLINE_POLICY_SIZE[noun]
    if sum(map(size, texts)) > limit:
        raise fault("LimitExceeded", message=f"Maximum policy size of {limit} bytes exceeded for {noun} {name}")


def check_size(call: Call, quota: str, text: str) -> None:
    """ApiError LimitExceeded when a document exceeds a quota on its size."""
    call.check_quota(quota, size(text))
