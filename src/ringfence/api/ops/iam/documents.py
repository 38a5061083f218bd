"""Policy documents on their way in: syntax, grammar, size (IAM User Guide: "Grammar of the IAM JSON policy language")."""

from __future__ import annotations

import re

from ringfence.api.ops.context import Call
from ringfence.identity import document
from ringfence.identity.document import DocumentKind
from ringfence.model.errors import fault
from ringfence.model.quotas import INLINE_POLICY_SIZE

_SPACE = re.compile(r"\s+")


def check_managed(text: str) -> None:
    """A managed policy. ApiError MalformedPolicyDocument, as for all of these."""
    document.malformed(text, DocumentKind.MANAGED)


def check_inline(text: str) -> None:
    """A policy inside a user, group or role."""
    document.malformed(text, DocumentKind.IDENTITY)


def check_trust(text: str) -> None:
    """A role's trust policy."""
    document.malformed(text, DocumentKind.TRUST)


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
