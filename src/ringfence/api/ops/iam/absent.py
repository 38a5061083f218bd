"""Lists of what cannot be made here and therefore is not there: certificates, SSH keys, service-specific credentials.

The operations that would make one are refused with UnsupportedOperation.
"""

from __future__ import annotations

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.entities import caller_or
from ringfence.api.ops.iam.serve import serve
from ringfence.model.world import World

_PAGED = {"IsTruncated": False}
#: operation -> its reply
_OF_USERS: dict[str, Params] = {
    "ListServiceSpecificCredentials": {"ServiceSpecificCredentials": []},
    "ListSigningCertificates": {"Certificates": [], **_PAGED},
    "ListSSHPublicKeys": {"SSHPublicKeys": [], **_PAGED},
}
_OF_THE_ACCOUNT: dict[str, Params] = {"ListServerCertificates": {"ServerCertificateMetadataList": [], **_PAGED}}


def _serve(action: str, reply: Params, *, of_user: bool) -> None:
    def listing(call: Call, world: World, params: Params) -> Outcome:
        """ApiError NoSuchEntity for a user who does not exist."""
        if of_user and (params.get("UserName") or not params.get("AllUsers")):
            caller_or(call, world, params)
        return Outcome(reply)

    serve(action, listing)


for _action, _reply in _OF_USERS.items():
    _serve(_action, _reply, of_user=True)
for _action, _reply in _OF_THE_ACCOUNT.items():
    _serve(_action, _reply, of_user=False)
