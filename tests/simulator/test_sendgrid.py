"""SendGrid as its SDK and its error pages know it."""

import time
from typing import Any

import pytest
from python_http_client.exceptions import BadRequestsError, TooManyRequestsError, UnauthorizedError

from tests.simulator.rig import Rig, sg_mail

Json = Any


def errors_of(rig: Rig, mail: Json) -> list[tuple[str, str]]:
    """Field and message of each error, after making sure that nothing was taken."""
    status, body = rig.sg_post(mail)
    assert status == 400, body
    assert rig.accepted("sendgrid") == 0
    assert all(set(error) == {"message", "field", "help"} for error in body["errors"])
    return [(error["field"], error["message"]) for error in body["errors"]]


def test_a_mail_by_the_sdk_is_accepted_with_one_message_id_for_the_request(rig: Rig) -> None:
    answer = rig.sg_send(sg_mail(["ann@x.example", "bob@x.example"]))

    assert answer.status_code == 202
    assert answer.body == b""
    message_id = answer.headers["X-Message-Id"]
    assert len(message_id) == 22
    kept = rig.messages()
    assert {m["message_id"].partition(".")[0] for m in kept} == {message_id}
    assert len({m["message_id"] for m in kept}) == 2


def test_the_recipient_reads_substitutions_in_subject_and_content_and_not_in_headers(
    rig: Rig,
) -> None:
    mail = sg_mail(["ann@x.example"])
    mail["headers"] = {"X-Literal": "-first-", "X-Shared": "1"}
    mail["personalizations"][0]["to"][0]["name"] = "Ann"
    mail["reply_to"] = {"email": "reply@a.example"}
    rig.sg_send(mail)

    read = rig.messages(to="Ann@X.example")[0]
    assert read["subject"] == "Hello ann"
    assert read["text"] == "Hi ann"
    assert read["html"].startswith("<p>Hi ann, ")
    assert read["headers"] == {
        "X-Literal": "-first-", "X-Shared": "1", "Reply-To": "reply@a.example",
        "List-Unsubscribe": "<https://a.example/u/0>",
    }  # fmt: skip
    assert read["from"] == "News <news@a.example>"
    assert read["to"] == "Ann <ann@x.example>"
    assert read["send_id"] == "sg-ann@x.example"
    assert read["campaign"] == "c1"
    assert read["metadata"] == {"campaign_id": "c1", "send_id": "sg-ann@x.example"}


def test_a_value_is_neither_escaped_nor_cut(rig: Rig) -> None:
    mail = sg_mail(["ann@x.example"])
    mail["personalizations"][0]["substitutions"]["-first-"] = "<Åsa & 'Ö'> \\1 \u2028"
    rig.sg_send(mail)
    assert rig.messages()[0]["text"] == "Hi <Åsa & 'Ö'> \\1 \u2028"


def test_no_key_and_a_wrong_key_are_401_in_different_words(rig: Rig) -> None:
    status, body = rig.sg_post(sg_mail(["ann@x.example"]), key="SG.wrong")
    assert status == 401
    assert "grant is invalid, expired, or revoked" in body["errors"][0]["message"]
    status, _ = rig.call("POST", "/v3/mail/send", {}, Content_Type="application/json")
    assert status == 401
    with pytest.raises(UnauthorizedError):
        rig.sendgrid.client.mail.send.post(
            request_body={}, request_headers={"Authorization": "Bearer SG.other"}
        )


def test_one_bad_address_refuses_everybody_and_names_its_place(rig: Rig) -> None:
    mail = sg_mail(["ann@x.example", "not an address", "reject+bob@x.example", "müller@x.example"])
    found = errors_of(rig, mail)
    assert [field for field, _ in found] == [f"personalizations.{n}.to.0.email" for n in (1, 2, 3)]
    assert {message for _, message in found} == {"Does not contain a valid address."}
    with pytest.raises(BadRequestsError):
        rig.sg_send(mail)


@pytest.mark.parametrize(
    "spoil,field,words",
    [
        (lambda m: m.pop("from"), "from", "from object must be provided"),
        (lambda m: m["from"].update(email="x"), "from.email", "valid address"),
        (lambda m: m.pop("subject"), "subject", "subject is required"),
        (lambda m: m.pop("content"), "content", "content parameter is required"),
        (lambda m: m["content"].reverse(), "content", "text/plain must be first"),
        (lambda m: m["content"][1].update(value=""), "content.1.value", "at least one character"),
        (
            lambda m: m.update(personalizations=[]),
            "personalizations",
            "at least one personalization",
        ),
        (
            lambda m: m["personalizations"][0].pop("to"),
            "personalizations.0.to",
            "to array is required",
        ),
        (
            lambda m: m["personalizations"][0]["to"][0].update(name="A, B"),
            "personalizations.0.to.0.name",
            "; or ,",
        ),
        (
            lambda m: m["personalizations"][0].update(substitutions={"-first-": 1}),
            None,
            "Bad Request",
        ),
        (
            lambda m: m["personalizations"][0].update(custom_args={"send_id": 1}),
            None,
            "Bad Request",
        ),
        (
            lambda m: m["personalizations"][0].update(substitutions={"-a-": "é" * 5000}),
            "personalizations.0.substitutions",
            "10,000 bytes",
        ),
        (
            lambda m: m["personalizations"][0].update(custom_args={"a": "x" * 10_000}),
            "personalizations.0.custom_args",
            "10000 bytes",
        ),
        (
            lambda m: m["personalizations"][0].update(headers={"Subject": "x"}),
            "personalizations.0.headers",
            "reserved",
        ),
        (lambda m: m.update(headers={"DKIM-Signature": "x"}), "headers", "reserved"),
        (
            lambda m: m["personalizations"][0].update(cc=[{"email": "ANN@x.example"}]),
            "personalizations.0",
            "should be unique between to, cc, and bcc",
        ),
        (
            lambda m: m["personalizations"].append({"to": [{"email": "Ann@X.example"}]}),
            "personalizations",
            "only be included once",
        ),
        (lambda m: m.update(categories=[str(n) for n in range(11)]), "categories", "10"),
        (lambda m: m.update(send_at=int(time.time()) + 73 * 3600), "send_at", "72 hours"),
        (lambda m: m.update(templateId="d-1"), "templateId", "not allowed"),
        (lambda m: m.update(template_id="d-1"), "template_id", "does not exist"),
        (lambda m: m.update(reply_to={"email": "x"}), "reply_to.email", "valid address"),
    ],
)
def test_a_broken_rule_is_a_400_that_names_the_field(
    rig: Rig, spoil: Any, field: str | None, words: str
) -> None:
    mail = sg_mail(["ann@x.example"])
    spoil(mail)
    found = errors_of(rig, mail)
    assert any(where == field and words in what for where, what in found), found


def test_a_thousand_personalizations_pass_and_one_more_does_not(rig: Rig) -> None:
    people = [f"p{n}@x.example" for n in range(1001)]
    assert errors_of(rig, sg_mail(people))[0][0] == "personalizations"
    assert rig.sg_post(sg_mail(people[:1000]))[0] == 202
    assert rig.accepted("sendgrid") == 1000


def test_junk_and_other_types_and_methods_are_refused_as_the_api_does(rig: Rig) -> None:
    bearer = f"Bearer {rig.keys['sendgrid']['api_key']}"
    assert (
        rig.raw(
            "POST", "/v3/mail/send", b"{", Authorization=bearer, Content_Type="application/json"
        )[0]
        == 400
    )
    assert (
        rig.raw(
            "POST", "/v3/mail/send", b"[]", Authorization=bearer, Content_Type="application/json"
        )[0]
        == 400
    )
    assert (
        rig.raw("POST", "/v3/mail/send", b"{}", Authorization=bearer, Content_Type="text/plain")[0]
        == 415
    )
    assert rig.raw("GET", "/v3/mail/send", Authorization=bearer)[0] == 405
    assert rig.raw("GET", "/v3/unknown", Authorization=bearer)[0] == 404


def test_sandbox_mode_validates_and_sends_nothing(rig: Rig) -> None:
    mail = sg_mail(["ann@x.example"], mail_settings={"sandbox_mode": {"enable": True}})
    assert rig.sg_post(mail)[0] == 200
    assert rig.accepted("sendgrid") == 0


def test_each_recipient_of_a_personalization_is_a_message_of_its_own(rig: Rig) -> None:
    mail = sg_mail(["ann@x.example"])
    mail["personalizations"][0]["bcc"] = [{"email": "bob@x.example"}]
    rig.sg_send(mail)
    assert [m["to"] for m in rig.messages()] == ["bob@x.example", "ann@x.example"]


def test_rate_quota_and_verified_senders_are_refused_in_sendgrids_words(rig: Rig) -> None:
    rig.limits("sendgrid", verified_senders=["other.example"])
    status, body = rig.sg_post(sg_mail(["ann@x.example"]))
    assert (status, body["errors"][0]["field"]) == (403, "from")
    assert "verified Sender Identity" in body["errors"][0]["message"]

    rig.limits("sendgrid", verified_senders=None, daily_quota=1)
    assert rig.sg_post(sg_mail(["ann@x.example"]))[0] == 202
    status, body = rig.sg_post(sg_mail(["bob@x.example"]))
    assert (status, body["errors"][0]["message"]) == (401, "Maximum credits exceeded")
    shown = rig.sendgrid.client.user.credits.get()
    assert b'"remain":0' in shown.body

    rig.limits("sendgrid", daily_quota=None, rate_per_second=1)
    with pytest.raises(TooManyRequestsError) as refused:
        _ = [rig.sg_send(sg_mail([f"p{n}@x.example"])) for n in range(20)]
    assert int(refused.value.headers["X-RateLimit-Reset"]) >= int(time.time())


def test_suppressed_recipients_are_accepted_and_dropped(rig: Rig) -> None:
    rig.limits("sendgrid", suppression=True)
    rig.sg_send(sg_mail(["hard+ann@x.example"]))
    rig.sg_send(sg_mail(["hard+ann@x.example"]))
    assert [m["outcome"] for m in rig.messages()] == ["suppressed", "hard"]
