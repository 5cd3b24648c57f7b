"""The road to Amazon SES: boto3's client gives credentials, address and signature.

Knows no message and judges no answer.
"""

import functools
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from services.esp import Misconfigured
from services.wire import Answer, Wire


class AwsKeys(NamedTuple):
    """Of an IAM user; without them boto3's own chain finds some (profile, role)."""

    access_key_id: str | None = None
    secret_access_key: str | None = None

    def __repr__(self) -> str:
        return "AwsKeys(…)"


#: With keys of ours the host's AWS files are not read: a profile that is named in the environment
#: and missing in them would stop the SDK.
_FILES: dict[str, tuple[Any, Any, Any, Any]] = dict.fromkeys(
    ("profile", "config_file", "credentials_file"), (None, None, None, None)
)


#: Stands for the time in what is made once for a day.
_TIME = "{time}"
_JSON = {"Content-Type": "application/json"}


class Signature:
    """botocore's signature (SigV4) for POSTs of JSON to one address. Canonical form and scope are
    the same all day but for the time and the body's hash, so botocore makes them once."""

    def __init__(self, credentials: Any, region: str, url: str, day: str) -> None:
        """`credentials` are frozen ones, `day` is in UTC: 20260131."""
        from botocore import auth, awsrequest

        self._signer = auth.SigV4Auth(credentials, "ses", region)
        self._headers = {**_JSON, "X-Amz-Date": _TIME}
        if credentials.token:
            self._headers["X-Amz-Security-Token"] = credentials.token
        sample = awsrequest.AWSRequest("POST", url, self._headers, b"{}")
        sample.context["timestamp"] = day
        canonical: str = self._signer.canonical_request(sample)
        without_hash = canonical.rpartition("\n")[0] + "\n"
        self._before, _, self._after = without_hash.partition(_TIME)
        signed = self._signer.signed_headers(self._signer.headers_to_sign(sample))
        self._frame = (
            f"AWS4-HMAC-SHA256 Credential={self._signer.scope(sample)}, SignedHeaders={signed}, "
            "Signature="
        )

    def headers(self, body: bytes, moment: str) -> dict[str, str]:
        """Of a request with this body; `moment` is in this signature's day: 20260131T235959Z."""
        request: Any = SimpleNamespace(context={"timestamp": moment})  # all that is looked at
        canonical = f"{self._before}{moment}{self._after}{hashlib.sha256(body).hexdigest()}"
        to_sign = self._signer.string_to_sign(request, canonical)
        signature = self._signer.signature(to_sign, request)
        return self._headers | {"X-Amz-Date": moment, "Authorization": self._frame + signature}


class SesClient:
    """boto3's client gives credentials, address and signature; the bytes go over our wire."""

    def __init__(
        self, keys: AwsKeys, region: str, endpoint_url: str | None, seconds: float
    ) -> None:
        import boto3
        import botocore.session
        from botocore import awsrequest
        from botocore.config import Config

        hidden = _FILES if keys.access_key_id else None
        session = boto3.session.Session(
            botocore_session=botocore.session.Session(session_vars=hidden),
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            region_name=region,
        )
        credentials = session.get_credentials()
        if credentials is None:
            raise Misconfigured("no AWS credentials found", code="NoCredentials")
        self._credentials = credentials
        # boto3 would repeat a POST whose answer was lost: one attempt is all it gets.
        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"}, parameter_validation=False
        )
        self._client: Any = session.client("sesv2", endpoint_url=endpoint_url, config=config)
        self._client.meta.events.register("before-send.sesv2", self._before_send)
        self._endpoint = self._client.meta.endpoint_url.rstrip("/")
        self._prefix = urlsplit(self._endpoint).path
        self._region = region
        self._wire = Wire(self._endpoint, seconds)
        self._awsrequest = awsrequest
        self._signature = functools.lru_cache(maxsize=8)(Signature)
        self._here = threading.local()

    def post(self, path: str, body: bytes) -> Answer:
        """A signed POST of these bytes (the client's own serialiser takes four times as long)."""
        credentials = self._credentials.get_frozen_credentials()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        url, day = self._endpoint + path, moment[:8]
        headers = self._signature(credentials, self._region, url, day).headers(body, moment)
        return self._wire.request("POST", self._prefix + path, headers, body)

    def get_account(self) -> Answer:
        """GetAccount by the client."""
        return self._by_client(self._client.get_account)

    def send_email(self, call: Mapping[str, Any]) -> Answer:
        """SendEmail by the client; the answer is judged as it came, not as the client reads it."""
        return self._by_client(lambda: self._client.send_email(**call))

    def _by_client(self, call: Callable[[], Any]) -> Answer:
        self._here.answer = None
        try:
            call()
        except Exception:
            if self._here.answer is None:
                raise
        answer: Answer = self._here.answer
        return answer

    def _before_send(self, request: Any, **_: Any) -> Any:
        parts = urlsplit(request.url)
        headers = {name: _text(value) for name, value in request.headers.items()}
        answer = self._wire.request(request.method, parts.path, headers, request.body)
        self._here.answer = answer
        named: Any = self._awsrequest.HeadersDict(answer.headers)
        return self._awsrequest.AWSResponse(request.url, answer.status, named, _Raw(answer.body))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class _Raw:
    """A body that is here already, in the form in which botocore reads one."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Sequence[bytes]:
        return [self._body]
