"""A call repeated with its ClientToken is answered as the first time, and does nothing (INF-14)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ringfence.api.ops.context import Call, Params
from ringfence.model.errors import fault
from ringfence.store.store import Store


@dataclass(frozen=True, slots=True)
class ClientToken:
    """`key`: what the reply is remembered by; `digest`: of the parameters, which must be the same again."""

    key: str
    digest: str
    mismatch: str  # the service's code for other parameters

    @staticmethod
    def of(call: Call, params: Params) -> ClientToken | None:
        """The token that a call carries."""
        token = params.get("ClientToken") or params.get("clientToken")
        if not token:
            return None
        key = f"{call.account_id}/{call.region}/{call.service}:{call.action}/{token}"
        parameters = json.dumps(params, sort_keys=True, default=repr)
        mismatch = "IdempotentParameterMismatch" + ("Exception" if call.service == "ram" else "")
        return ClientToken(key, hashlib.sha256(parameters.encode()).hexdigest(), mismatch)

    def answered(self, store: Store) -> list[bytes] | None:
        """The reply given to the same call before. ApiError when its parameters were others."""
        held = store.remembered(self.key)
        if held is None:
            return None
        kept = json.loads(held)
        if kept["params"] != self.digest:
            raise fault(self.mismatch)
        return [str(kept["body"]).encode()]

    def kept(self, body: list[bytes]) -> tuple[str, bytes]:
        """What `Commit.remember` takes: the reply, for `answered`."""
        return self.key, json.dumps({"params": self.digest, "body": b"".join(body).decode()}).encode()
