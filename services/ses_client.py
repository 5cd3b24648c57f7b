"""The road to Amazon SES: boto3's client gives credentials, address and signature.

Knows no message and judges no answer.
"""

import threading
from collections.abc import Mapping, Sequence
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


class SesClient:
    """boto3's client gives credentials, address and signature; the bytes go over our wire."""

    def __init__(
        self, keys: AwsKeys, region: str, endpoint_url: str | None, seconds: float
    ) -> None:
        import boto3
        import botocore.session
        from botocore import auth, awsrequest
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
        self._auth, self._awsrequest = auth, awsrequest
        self._here = threading.local()

    def post(self, path: str, body: bytes) -> Answer:
        """A signed POST of these bytes (the client's own serialiser takes four times as long)."""
        headers = {"Content-Type": "application/json"}
        request = self._awsrequest.AWSRequest("POST", self._endpoint + path, headers, body)
        credentials = self._credentials.get_frozen_credentials()
        self._auth.SigV4Auth(credentials, "ses", self._region).add_auth(request)
        return self._wire.request("POST", self._prefix + path, dict(request.headers.items()), body)

    def send_email(self, call: Mapping[str, Any]) -> Answer:
        """SendEmail by the client; the answer is judged as it came, not as the client reads it."""
        self._here.answer = None
        try:
            self._client.send_email(**call)
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
