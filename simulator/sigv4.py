"""Checks an AWS Signature Version 4 against the account's secret key; knows no SES operation.

Pages: "Create a signed AWS API request" (IAM User Guide), "Common Errors" (SES API v2 reference).
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from simulator.wire import Request

SERVICE = "ses"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


def problem(
    request: Request, key_id: str, secret: str, region: str, skew_seconds: int
) -> tuple[str, str] | None:
    """The error code and message for a request that is not signed as it should be, else None."""
    header = request.headers.get("Authorization", "")
    if not header:
        return "MissingAuthenticationTokenException", "Missing Authentication Token"
    found = _AUTHORIZATION.fullmatch(header)
    if found is None:
        return "IncompleteSignatureException", "Authorization header is not a valid signature."
    credential, day, scope_region, service, signed, signature = found.groups()
    if credential != key_id:
        text = "The security token included in the request is invalid."
        return "UnrecognizedClientException", text
    if scope_region != region:
        text = f"Credential should be scoped to a valid region, not '{scope_region}'. "
        return "SignatureDoesNotMatch", text
    if service != SERVICE:
        text = f"Credential should be scoped to correct service: '{SERVICE}'. "
        return "SignatureDoesNotMatch", text
    stamp = request.headers.get("X-Amz-Date", "")
    late = _skew(stamp)
    if late is None or not stamp.startswith(day) or "host" not in signed.split(";"):
        return "IncompleteSignatureException", "Date and Host must be part of the signature."
    if abs(late) > skew_seconds:
        return "SignatureDoesNotMatch", f"Signature expired: {stamp} is not within {skew_seconds} s"
    expected = _signature(request, signed.split(";"), stamp, day, region, secret)
    if not hmac.compare_digest(expected, signature):
        return "SignatureDoesNotMatch", MISMATCH
    return None


def _skew(stamp: str) -> float | None:
    try:
        then = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return (datetime.now(UTC) - then).total_seconds()


def _signature(
    request: Request, signed: list[str], stamp: str, day: str, region: str, secret: str
) -> str:
    canonical = "\n".join(
        (
            request.method,
            # Every service but S3 signs the path encoded once more than it travels.
            quote(quote(unquote(request.path), safe="/-_.~"), safe="/-_.~"),
            _canonical_query(request.raw_query),
            "".join(f"{h}:{' '.join(request.headers.get(h, '').split())}\n" for h in signed),
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    scope = f"{day}/{region}/{SERVICE}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = ("AWS4" + secret).encode()
    for part in (day, region, SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def _canonical_query(raw: str) -> str:
    pairs = sorted(
        (quote(k, safe="-_.~"), quote(v, safe="-_.~"))
        for k, v in parse_qsl(raw, keep_blank_values=True)
    )
    return "&".join(f"{k}={v}" for k, v in pairs)
