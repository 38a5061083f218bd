"""What a refusal is called in the words of each service: the same fault has other names in EC2, S3 and the services of JSON."""

from __future__ import annotations

from ringfence.api.ops.context import Call
from ringfence.api.wire import model
from ringfence.api.wire.route import Claim
from ringfence.identity import sessions, sigv4
from ringfence.model.errors import ApiError, fault

#: AWS: a late request is an invalid signature to the services of the JSON protocols
_JSON_WORDS = {
    sigv4.Reason.MISSING: "MissingAuthenticationTokenException",
    sigv4.Reason.INCOMPLETE: "IncompleteSignatureException",
    sigv4.Reason.UNKNOWN_KEY: "UnrecognizedClientException",
    sigv4.Reason.MISMATCH: "InvalidSignatureException",
    sigv4.Reason.EXPIRED: "InvalidSignatureException",
    sigv4.Reason.TOKEN_EXPIRED: "ExpiredTokenException",
}
OF_DOCUMENTS = frozenset({"json", "rest-json", "smithy-rpc-v2-cbor"})
_S3_WORDS = {sigv4.Reason.UNKNOWN_KEY: "InvalidAccessKeyId", sigv4.Reason.EXPIRED: "RequestTimeTooSkewed"}


def not_served(claim: Claim) -> ApiError:
    """Services of other protocols: none is served, each says so in its own words (client-surface, section 7)."""
    if claim.protocol == "s3":
        if claim.action:
            return fault("NotImplemented", message=f"{claim.action} is not implemented by this installation")
        return fault("MethodNotAllowed")
    what = f"{claim.service}:{claim.action}" if claim.action else f"The service {claim.service}"
    if model.operation(claim.service, claim.action) is not None:
        return fault("UnsupportedOperation", message=f"{what} is not supported by this installation.")
    return fault("UnknownOperationException", message=f"{what} is not served here")


def in_words_of(claim: Claim, error: ApiError) -> ApiError:
    """A service that has a word of its own for being overloaded uses it."""
    if error.code != "ServiceUnavailable":
        return error
    if claim.protocol == "s3":
        return fault("SlowDown")
    return fault("ServiceUnavailableException", message=error.message) if claim.service == "logs" else error


def check_kind_of_session(call: Call, protocol: str) -> None:
    """ApiError for what sessions of GetSessionToken and GetFederationToken cannot call at all."""
    try:
        sessions.check_call(call.principal, call.service, call.action)
    except sessions.NotForSessions as refused:
        denied = "AccessDeniedException" if protocol in OF_DOCUMENTS else "AccessDenied"
        raise fault("InvalidClientTokenId" if refused.iam else denied, message=str(refused)) from None


def signature_error(service: str, protocol: str, refused: sigv4.SignatureFault) -> ApiError:
    """IAM-02, IAM-03: EC2 answers AuthFailure where other services name the fault; those of JSON have names of their own."""
    reason = refused.reason
    if protocol in OF_DOCUMENTS:
        return fault(_JSON_WORDS[reason], message=refused.message)
    if service == "s3" and reason in _S3_WORDS:
        return fault(_S3_WORDS[reason])
    if reason is sigv4.Reason.EXPIRED:
        return fault("RequestExpired", message=refused.message)
    if reason is sigv4.Reason.TOKEN_EXPIRED:  # AWS: EC2 has no other word for it than for a late request
        return fault("RequestExpired") if service == "ec2" else fault("ExpiredToken", message=refused.message)
    if reason is sigv4.Reason.MISSING:
        return fault("MissingAuthenticationToken")
    if reason is sigv4.Reason.INCOMPLETE:
        return fault("IncompleteSignature", message=refused.message)
    if service == "ec2":
        return fault("AuthFailure")
    code = "InvalidClientTokenId" if reason is sigv4.Reason.UNKNOWN_KEY else "SignatureDoesNotMatch"
    return fault(code, message=refused.message)
