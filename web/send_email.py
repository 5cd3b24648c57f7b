"""POST /send-email: one mail to one address, on a lane that waits for no campaign."""

from typing import Annotated, Any, Literal

from flask_openapi.blueprint import APIBlueprint
from pydantic import Field

from outbound.transactional import Mail
from web.campaign_models import Body, Content, EspName, Headers, KeyHeader, Line
from web.context import house
from web.shapes import Answer, Moment

#: docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html: the strictest of the ESPs.
TAG = r"^[A-Za-z0-9_-]+$"
MOST_TAGS, LONGEST_TAG = 10, 100

blueprint = APIBlueprint("send_email", __name__, abp_tags=[{"name": "sends"}],
                         abp_security=[{"key": []}])  # fmt: skip


class AttachmentIn(Body):
    """A file that goes with it."""

    filename: str
    content_type: str = Field(description="Like application/pdf")
    content: str = Field(description="Base64")


class MailIn(Body):
    """What `POST /send-email` takes."""

    to: str = Field(max_length=1000)
    subject: Line = Field(description="Liquid")
    html: Content | None = Field(None, description="Liquid; html, text, or both")
    text: Content | None = Field(None, description="Liquid; derived from html when absent")
    from_email: Line | None = Field(None, description="At one of our domains; MAIL_FROM if absent")
    from_name: Line | None = None
    reply_to: Line | None = None
    variables: dict[str, Any] = Field({}, description="What the Liquid may use, beside `email`")
    metadata: dict[str, Any] = Field({}, description="Given back by GET /sends/{id}")
    tags: list[Annotated[str, Field(pattern=TAG, max_length=LONGEST_TAG)]] = Field(
        [], max_length=MOST_TAGS, description="The first is its name in an ESP's statistics"
    )
    attachments: list[AttachmentIn] = Field([])
    expires_at: Moment | None = Field(None, description="Never sent from then on")
    on_doubt: Literal["hold", "resend"] = Field(
        "hold", description="When an ESP may have taken it: hold, or once more (perhaps twice)"
    )
    esp: EspName | None = Field(None, description="Only through this ESP")
    preheader: Line | None = Field(None, description="Liquid; shown after the subject in lists")
    headers: Headers = Field({}, description="Of a short list, like References")

    def mail(self) -> Mail:
        """The request in the words of the core."""
        given = self.model_dump()
        over = None if self.expires_at is None else self.expires_at.timestamp()
        lists = {"tags": tuple(self.tags), "attachments": tuple(given["attachments"])}
        return Mail(**given | lists | {"expires_at": over})


class PostedOut(Answer):
    """The mail is stored."""

    send_id: str


@blueprint.post("/send-email", responses={202: PostedOut})
def send_email(body: MailIn, header: KeyHeader) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Send one mail now."""
    posted = house().mailer.post(body.mail(), idempotency_key=header.idempotency_key)
    headers = {"Location": f"/sends/{posted.send_id}"}
    headers |= {"Idempotent-Replayed": "true"} if posted.repeated else {}
    return PostedOut(send_id=posted.send_id).model_dump(), 202, headers
