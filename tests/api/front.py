"""A front door without a network: a pipeline over a store in memory, and boto3 clients whose requests end in it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import boto3
import botocore.auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials

import ringfence.api.ops.accessanalyzer
import ringfence.api.ops.ec2
import ringfence.api.ops.iam
import ringfence.api.ops.kms
import ringfence.api.ops.organizations
import ringfence.api.ops.ram
import ringfence.api.ops.s3
import ringfence.api.ops.sts  # noqa: F401  fills the registry
from ringfence.api.bucket_sealing import ServiceKeys
from ringfence.api.ops.ec2 import access_scopes, default_vpc
from ringfence.api.pipeline import Pipeline
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.identity.credentials import Chain, Credential, RootKeys, StoredKeys, root_key
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.sealing import Sealer, new_key
from ringfence.model.clock import SystemClock
from ringfence.model.ids import SeededIds
from ringfence.store.buckets import BucketFiles
from ringfence.store.store import MemoryStore

ACCOUNT, KEY, SECRET = "123456789012", "AKIDROOT", "root-secret"
OTHER_ACCOUNT, OTHER_KEY = "210987654321", "AKIDOTHER"
USER_KEY, USER_SECRET = "AKIDUSER", "user-secret"
URL = "http://127.0.0.1:4566"
_SESSION = boto3.session.Session()  # one for all clients: it remembers the service models


class SkewedClock(SystemClock):
    """The system's clock, moved."""

    skew = timedelta()

    def now(self) -> Any:
        return super().now() + self.skew


@dataclass
class Front:
    """A pipeline and everything it was built of."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: SkewedClock = field(default_factory=SkewedClock)
    objects: BucketFiles | None = None
    strict_clients: bool = True  # botocore refuses by itself what its model does not allow

    def __post_init__(self) -> None:
        ann = Principal(
            account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/ann", user_id="AIDAANN", access_key_id=USER_KEY,
            kind=PrincipalKind.USER, name="ann",
        )  # fmt: skip
        user = Credential(USER_SECRET, ann)
        keys = RootKeys(root_key(ACCOUNT, KEY, SECRET), root_key(OTHER_ACCOUNT, OTHER_KEY, SECRET), user)
        self.sealer = Sealer([new_key()])
        self.pipeline = Pipeline(
            store=self.store, credentials=Chain(keys, StoredKeys(lambda: self.store.world, self.sealer)),
            clock=self.clock, ids=SeededIds(), reset=self.store.reset, sealer=self.sealer,
            prepare={"ec2": (default_vpc.initialise, access_scopes.initialise)}, objects=self.objects,
        )  # fmt: skip

    def service_keys(self, clock: Any) -> ServiceKeys:
        """What services ask KMS with."""
        return ServiceKeys(self.sealer, self.pipeline.ids, clock, self.store.audit)

    # ------------------------------------------------------------------ clients
    def client(
        self,
        service: str,
        *,
        region: str = "us-east-1",
        key: str = KEY,
        secret: str | None = None,
        token: str | None = None,
        through: str | None = None,
    ) -> Any:
        """A boto3 client whose requests go to the pipeline; `through`: by the socket of that gateway endpoint."""
        secret = secret or (USER_SECRET if key == USER_KEY else SECRET)
        config = Config(
            retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"},
            parameter_validation=self.strict_clients,
        )  # fmt: skip
        client = _SESSION.client(
            service,
            region_name=region,
            endpoint_url=URL,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=config,
        )
        client.meta.events.register("before-send", partial(self._send, through=through))
        return client

    def with_session(self, service: str, credentials: dict[str, Any], **how: Any) -> Any:
        """A client that signs with temporary credentials, as STS gives them."""
        return self.client(
            service, key=credentials["AccessKeyId"], secret=credentials["SecretAccessKey"],
            token=credentials["SessionToken"], **how,
        )  # fmt: skip

    def _send(self, request: Any, through: str | None = None, **_: Any) -> AWSResponse:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
        asked = http_request(request.method, request.url, request.headers.items(), body)
        answer = self.pipeline.handle(replace(asked, endpoint=through, by_instance_door=through is not None))
        raw = io.BytesIO(answer.body)
        raw.stream = lambda *_args, **_kwargs: iter([answer.body])  # type: ignore[attr-defined]
        length = len(answer.body) if answer.length is None else answer.length
        headers = {"content-type": answer.content_type, "content-length": str(length), **dict(answer.headers)}
        if request.method == "HEAD":
            raw.stream = lambda *_args, **_kwargs: iter([])  # type: ignore[attr-defined]
        return AWSResponse(request.url, answer.status, headers, raw)

    # ------------------------------------------------------------------ raw requests
    def ask(self, form: dict[str, str] | str | bytes, *, service: str = "ec2", **how: Any) -> Answer:
        """A signed form. `form` as text or bytes is sent as it is."""
        if isinstance(form, dict):
            form = urlencode(form)
        return Answer(
            self.pipeline.handle(signed(form if isinstance(form, bytes) else form.encode(), service=service, **how))
        )

    def audit(self) -> list[dict[str, Any]]:
        """All audit events so far."""
        return [json.loads(row.record) for row in self.store.audit_records()]


def http_request(method: str, url: str, headers: Any, body: bytes, *, peer: str = "127.0.0.1") -> HttpRequest:
    """A request as the server would hand it over."""
    parts = urlsplit(url)
    texts = [(name.lower(), value if isinstance(value, str) else value.decode("latin-1")) for name, value in headers]
    if "host" not in dict(texts):
        texts.append(("host", parts.netloc))
    return HttpRequest(method, parts.path or "/", parts.query, tuple(texts), body, peer)


def signed(
    body: bytes, *, service: str = "ec2", region: str = "us-east-1", method: str = "POST", url: str = URL + "/",
    key: str = KEY, secret: str = SECRET, token: str | None = None, headers: dict[str, str] | None = None,
) -> HttpRequest:  # fmt: skip
    """A request signed by botocore."""
    given = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    request = AWSRequest(method=method, url=url, data=body, headers=given)
    botocore.auth.SigV4Auth(Credentials(key, secret, token), service, region).add_auth(request)
    prepared = request.prepare()
    return http_request(prepared.method, prepared.url, prepared.headers.items(), body)


@dataclass(frozen=True)
class Answer:
    """A response, and the fault in it, whatever XML shape it has."""

    response: HttpResponse

    @property
    def status(self) -> int:
        return self.response.status

    def _find(self, name: str) -> str:
        root = ElementTree.fromstring(self.response.body)
        return next((node.text or "" for node in root.iter() if node.tag.rpartition("}")[2] == name), "")

    @property
    def code(self) -> str:
        return self._find("Code")

    @property
    def message(self) -> str:
        return self._find("Message")
