"""The signature that is made once a day is, byte for byte, botocore's own."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from services.ses_client import Signature

MOMENTS = ("20260131T000000Z", "20260131T120305Z", "20260131T235959Z")
BODIES = (b"{}", '{"to": "søren@x.example"}'.encode(), b"x" * 40_000)


def of_botocore(
    monkeypatch: pytest.MonkeyPatch, credentials: Any, region: str, url: str, body: bytes, at: str
) -> dict[str, str]:
    """The headers of a request that botocore has signed at that moment."""
    then = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: then)
    request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
    auth.SigV4Auth(credentials, "ses", region).add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjE//x+y=="])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-2"])
@pytest.mark.parametrize(
    "url",
    [
        "https://email.us-east-1.amazonaws.com/v2/email/outbound-bulk-emails",
        "https://email.example:443/v2/email/outbound-bulk-emails",
        "https://email.example:8443/v2/email/outbound-bulk-emails",
        "http://127.0.0.1:80/v2/email/outbound-bulk-emails",
        "http://127.0.0.1:4566/a b/ö/~x/%41/../v2//email",
        "http://[::1]:4566",
        "https://email.example/{time}/v2",
    ],
)
def test_headers_are_those_of_botocore(
    monkeypatch: pytest.MonkeyPatch, token: str | None, region: str, url: str
) -> None:
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token)
    signature = Signature(credentials, region, url, MOMENTS[0][:8])
    for moment in MOMENTS:
        for body in BODIES:
            expected = of_botocore(monkeypatch, credentials, region, url, body, moment)
            assert signature.headers(body, moment) == expected
