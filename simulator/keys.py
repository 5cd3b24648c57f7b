"""Makes the keys of the three simulated accounts once and reads them back; signs nothing itself."""

import base64
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from simulator.wire import Json

ACCOUNT_ID = "123456789012"
CERTIFICATE_YEARS = 20


@dataclass(frozen=True)
class Keys:
    """Secrets and public halves of the simulated accounts, kept in the simulator's database."""

    sendgrid_api_key: str
    sendgrid_private_pem: str
    sendgrid_public_key: str
    ses_access_key_id: str
    ses_secret_access_key: str
    ses_region: str
    ses_private_pem: str
    ses_certificate_pem: str
    ses_certificate_name: str
    postmark_server_token: str
    postmark_webhook_username: str
    postmark_webhook_password: str

    @property
    def topic_arn(self) -> str:
        return f"arn:aws:sns:{self.ses_region}:{ACCOUNT_ID}:ses-events"

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self))

    def published(self, url: str, smtp: tuple[str, int]) -> Json:
        """What a product needs to talk to the three accounts, and nothing that signs webhooks.
        `smtp`: host and port; the password is derived from the secret key."""
        return {
            "sendgrid": {
                "base_url": url,
                "api_key": self.sendgrid_api_key,
                "webhook_public_key": self.sendgrid_public_key,
            },
            "ses": {
                "endpoint_url": url,
                "access_key_id": self.ses_access_key_id,
                "secret_access_key": self.ses_secret_access_key,
                "region": self.ses_region,
                "topic_arn": self.topic_arn,
                "certificate_pem": self.ses_certificate_pem,
                "certificate_url": f"{url}/{self.ses_certificate_name}",
                "smtp_host": smtp[0],
                "smtp_port": smtp[1],
            },
            "postmark": {
                "base_url": url,
                "server_token": self.postmark_server_token,
                "webhook_username": self.postmark_webhook_username,
                "webhook_password": self.postmark_webhook_password,
            },
        }


def load(stored: bytes) -> Keys:
    return Keys(**orjson.loads(stored))


def make(region: str = "us-east-1") -> Keys:
    """New keys in the vendors' own shapes, so that a product's format checks apply to them too."""
    signing = ec.generate_private_key(ec.SECP256R1())
    topic = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Keys(
        sendgrid_api_key=f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}",
        sendgrid_private_pem=_private_pem(signing),
        sendgrid_public_key=_public_base64(signing.public_key()),
        ses_access_key_id="AKIA" + base64.b32encode(secrets.token_bytes(10)).decode(),
        ses_secret_access_key=base64.b64encode(secrets.token_bytes(30)).decode(),
        ses_region=region,
        ses_private_pem=_private_pem(topic),
        ses_certificate_pem=_certificate(topic, region),
        ses_certificate_name=f"SimpleNotificationService-{secrets.token_hex(16)}.pem",
        postmark_server_token=_uuid(),
        postmark_webhook_username="postmark",
        postmark_webhook_password=secrets.token_urlsafe(24),
    )


def _uuid() -> str:
    text = secrets.token_hex(16)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _public_base64(key: ec.EllipticCurvePublicKey) -> str:
    """Base64 of the DER SubjectPublicKeyInfo, as SendGrid's signed-webhook settings show it."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def _certificate(key: rsa.RSAPrivateKey, region: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"sns.{region}.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * CERTIFICATE_YEARS))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
