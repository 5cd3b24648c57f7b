"""SES as botocore's own model and the API reference know it."""

import base64
import json
from contextlib import closing
from email.message import EmailMessage
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.simulator.receiver import Receiver
from tests.simulator.rig import BOTO, Rig, ses_bulk

Json = Any


def refused(rig: Rig, call: Json, operation: str = "send_bulk_email") -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        getattr(rig.ses, operation)(**call)
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return answer["Error"]["Code"], answer["Error"]["Message"], status


def results(rig: Rig, call: Json) -> list[Json]:
    return list(rig.ses.send_bulk_email(**call)["BulkEmailEntryResults"])


def raw(rig: Rig, method: str, path: str, body: bytes = b"") -> tuple[int, Json]:
    """A signed request by botocore's signer, with the answer as it came over the wire."""
    keys = rig.keys["ses"]
    request = AWSRequest(
        method, rig.url + path, data=body, headers={"Content-Type": "application/json"}
    )
    SigV4Auth(
        Credentials(keys["access_key_id"], keys["secret_access_key"]), "ses", keys["region"]
    ).add_auth(request)
    headers = {name.replace("-", "_"): value for name, value in request.headers.items()}
    status, data, _ = rig.raw(method, path, body or None, **headers)
    return status, json.loads(data)


def check_shape(value: Json, shape: Any, where: str = "answer") -> None:
    """The value has no member that botocore's model lacks, and the model's types."""
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), f"{where}: {set(value) - set(shape.members)}"
        for name, inner in value.items():
            check_shape(inner, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for n, inner in enumerate(value):
            check_shape(inner, shape.member, f"{where}[{n}]")
    else:
        kinds = {"string": str, "boolean": bool, "double": float, "integer": int}
        assert isinstance(value, kinds[shape.type_name]), f"{where} is {value!r}"
        if getattr(shape, "enum", None):
            assert value in shape.enum, f"{where} is {value!r}"


def outputs(rig: Rig, operation: str) -> Any:
    return rig.ses.meta.service_model.operation_model(operation).output_shape


def test_a_bulk_call_gets_a_result_per_entry_in_order(rig: Rig) -> None:
    answered = results(rig, ses_bulk(["ann@x.example", "reject+bob@x.example", "cyd@x.example"]))

    assert [r["Status"] for r in answered] == ["SUCCESS", "INVALID_PARAMETER", "SUCCESS"]
    assert "reject+bob@x.example" in answered[1]["Error"]
    kept = rig.messages()
    assert [m["message_id"] for m in kept] == [answered[2]["MessageId"], answered[0]["MessageId"]]
    assert [m["send_id"] for m in kept] == ["ses-2", "ses-0"]


def test_the_recipient_reads_filled_braces_unescaped_and_the_merged_headers(rig: Rig) -> None:
    call = ses_bulk(["ann@x.example"])
    call["DefaultContent"]["Template"]["TemplateData"] = '{"first":"nobody"}'
    entry = call["BulkEmailEntries"][0]
    entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"] = json.dumps(
        {"first": "<A&b> {{first}} \\1", "more": 1}
    )
    entry["ReplacementHeaders"].append({"Name": "list-unsubscribe-post", "Value": "own"})
    results(rig, call)

    read = rig.messages()[0]
    assert read["subject"] == "Hello <A&b> {{first}} \\1"
    assert read["text"] == "Hi <A&b> {{first}} \\1"
    assert read["headers"] == {
        "list-unsubscribe-post": "own",
        "List-Unsubscribe": "<https://a.example/u/0>",
    }
    assert read["metadata"] == {"campaign_id": "c1", "send_id": "ses-0"}
    assert read["campaign"] == "c1"


def test_a_missing_variable_is_accepted_and_never_sent(rig: Rig) -> None:
    call = ses_bulk(["ann@x.example", "bob@x.example"])
    del call["BulkEmailEntries"][1]["ReplacementEmailContent"]
    assert [r["Status"] for r in results(rig, call)] == ["SUCCESS", "SUCCESS"]
    assert [m["outcome"] for m in rig.messages()] == ["render_failure", "delivered"]


@pytest.mark.parametrize("text", ["{{#if first}}x{{/if}}", "{{{first}}}", "{{>part}}", "{{ }}"])
def test_inline_templates_know_plain_variables_only(rig: Rig, text: str) -> None:
    call = ses_bulk(["ann@x.example"])
    call["DefaultContent"]["Template"]["TemplateContent"]["Html"] = text
    results(rig, call)
    assert rig.messages()[0]["outcome"] == "render_failure"


def test_answers_have_the_shape_of_botocores_model(rig: Rig) -> None:
    body = json.dumps(ses_bulk(["ann@x.example", "reject+b@x.example"])).encode()
    status, answer = raw(rig, "POST", "/v2/email/outbound-bulk-emails", body)
    assert status == 200
    check_shape(answer, outputs(rig, "SendBulkEmail"))

    status, answer = raw(rig, "GET", "/v2/email/account")
    assert status == 200
    check_shape(answer, outputs(rig, "GetAccount"))
    assert answer["SendingEnabled"] is True

    simple = {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hi"}}}
    body = json.dumps(
        {
            "FromEmailAddress": "n@a.example",
            "Destination": {"ToAddresses": ["a@x.example"]},
            "Content": {"Simple": simple},
        }
    ).encode()
    status, answer = raw(rig, "POST", "/v2/email/outbound-emails", body)
    assert status == 200
    check_shape(answer, outputs(rig, "SendEmail"))


def test_a_simple_message_carries_tags_and_headers(rig: Rig) -> None:
    answer = rig.ses.send_email(
        FromEmailAddress="news@a.example",
        Destination={"ToAddresses": ["Ann <ann@x.example>"]},
        ReplyToAddresses=["reply@a.example"],
        Content={
            "Simple": {
                "Subject": {"Data": "Grüße"},
                "Body": {"Html": {"Data": "<p>ö</p>"}},
                "Headers": [{"Name": "X-A", "Value": "1"}],
            }
        },
        EmailTags=[{"Name": "send_id", "Value": "s1"}, {"Name": "campaign_id", "Value": "c9"}],
    )
    read = rig.messages(send_id="s1")[0]
    assert read["message_id"] == answer["MessageId"]
    assert (read["subject"], read["html"], read["text"]) == ("Grüße", "<p>ö</p>", "")
    assert read["headers"] == {"X-A": "1", "Reply-To": "reply@a.example"}
    assert (read["to"], read["campaign"]) == ("Ann <ann@x.example>", "c9")


def test_a_raw_message_is_read_from_its_mime(rig: Rig) -> None:
    mime = EmailMessage()
    mime["From"], mime["To"], mime["Subject"] = "news@a.example", "ann@x.example", "Grüße"
    mime["X-SES-CONFIGURATION-SET"] = "campaigns"
    mime.set_content("plain")
    mime.add_alternative("<b>html</b>", subtype="html")
    rig.ses.send_email(Content={"Raw": {"Data": mime.as_bytes()}})
    read = rig.messages()[0]
    assert (read["from"], read["to"], read["subject"]) == (
        "news@a.example",
        "ann@x.example",
        "Grüße",
    )
    assert (read["text"].strip(), read["html"].strip()) == ("plain", "<b>html</b>")
    assert "X-SES-CONFIGURATION-SET" not in read["headers"]


def test_an_inline_template_may_be_sent_one_by_one(rig: Rig) -> None:
    template = {
        "TemplateContent": {"Subject": "{{a}}", "Text": "{{a}}"},
        "TemplateData": '{"a":"b"}',
    }
    rig.ses.send_email(
        FromEmailAddress="news@a.example",
        Destination={"ToAddresses": ["ann@x.example"]},
        Content={"Template": template},
    )
    assert rig.messages()[0]["subject"] == "b"


@pytest.mark.parametrize(
    "other,code",
    [
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "AKIAWRONG"}, "UnrecognizedClientException"),
        ({"region_name": "eu-west-1"}, "SignatureDoesNotMatch"),
    ],
)
def test_a_signature_by_other_credentials_or_for_another_region_is_refused(
    rig: Rig, other: Json, code: str
) -> None:
    with closing(rig.ses_client(**other)) as client, pytest.raises(ClientError) as caught:
        client.get_account()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_signature_covers_body_and_time(rig: Rig) -> None:
    keys = rig.keys["ses"]
    path, body = "/v2/email/outbound-bulk-emails", json.dumps(ses_bulk(["ann@x.example"])).encode()
    request = AWSRequest(
        "POST", rig.url + path, data=body, headers={"Content-Type": "application/json"}
    )
    SigV4Auth(
        Credentials(keys["access_key_id"], keys["secret_access_key"]), "ses", keys["region"]
    ).add_auth(request)
    headers = {name.replace("-", "_"): value for name, value in request.headers.items()}
    assert rig.raw("POST", path, body.replace(b"ann@", b"eve@"), **headers)[0] == 403
    assert rig.raw("POST", path, body, **headers)[0] == 200
    rig.limits("ses", clock_skew_seconds=-1)
    assert rig.raw("POST", path, body, **headers)[0] == 403
    assert rig.raw("POST", path, body)[0] == 403
    assert rig.raw("POST", path, body, Authorization="AWS4-HMAC-SHA256 nonsense")[0] == 403


def many_headers(count: int, value: str = "1") -> list[Json]:
    return [{"Name": f"X-{n}", "Value": value} for n in range(count)]


@pytest.mark.parametrize(
    "spoil,words",
    [
        (lambda c: c.update(FromEmailAddress="nobody"), "Missing final '@domain'"),
        (lambda c: c.update(FromEmailAddress="Müller <n@a.example>"), "not ASCII"),
        (lambda c: c.update(BulkEmailEntries=[]), "at least one entry"),
        (lambda c: c.update(BulkEmailEntries=c["BulkEmailEntries"] * 51), "50"),
        (
            lambda c: c["BulkEmailEntries"][0]["ReplacementTags"].append(
                {"Name": "a", "Value": "a@b"}
            ),
            "alphanumeric ASCII",
        ),
        (
            lambda c: c.update(DefaultEmailTags=[{"Name": "a", "Value": "x" * 257}]),
            "alphanumeric ASCII",
        ),
        (lambda c: c["DefaultContent"]["Template"].update(Headers=many_headers(16)), "limit of 15"),
        (
            lambda c: c["DefaultContent"]["Template"].update(Headers=many_headers(1, "x" * 996)),
            "995",
        ),
        (lambda c: c["DefaultContent"]["Template"].update(Headers=many_headers(1, "é")), "ASCII"),
        (lambda c: c["DefaultContent"]["Template"].update(TemplateData="{"), "not valid JSON"),
        (
            lambda c: c["DefaultContent"]["Template"]["TemplateContent"].update(
                Html="x" * 1_000_000
            ),
            "1 MB",
        ),
        (lambda c: c.update(ReplyToAddresses=["x y@a.example"]), "control or whitespace"),
    ],
)
def test_a_broken_rule_refuses_the_whole_call(rig: Rig, spoil: Any, words: str) -> None:
    call = ses_bulk(["ann@x.example"])
    spoil(call)
    code, message, status = refused(rig, call)
    assert (code, status) == ("BadRequestException", 400)
    assert words in message
    assert rig.accepted("ses") == 0


@pytest.mark.parametrize(
    "address,words",
    [
        ("nobody", "Missing final '@domain'"),
        ("ann@", "Missing domain"),
        ("an n@x.example", "Local address contains control or whitespace"),
        ("ann@x example.com", "Domain contains control or whitespace"),
        ("müller@x.example", "Illegal address"),
        ("ann@bücher.example", "Illegal address"),
        ("ann@localhost", "Illegal address"),
    ],
)
def test_a_bad_address_fails_its_entry_or_the_call_as_the_operator_chooses(
    rig: Rig, address: str, words: str
) -> None:
    answered = results(rig, ses_bulk(["ann@x.example", address]))
    assert [r["Status"] for r in answered] == ["SUCCESS", "INVALID_PARAMETER"]
    assert words in answered[1]["Error"]
    rig.limits("ses", bad_address="call")
    code, message, _ = refused(rig, ses_bulk(["bob@x.example", address]))
    assert code == "BadRequestException"
    assert words in message
    assert rig.accepted("ses") == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e: e.update(ReplacementHeaders=many_headers(16)),
        lambda e: e.update(ReplacementHeaders=[{"Name": "X Y", "Value": "1"}]),
        lambda e: e["Destination"].update(ToAddresses=[]),
        lambda e: e["ReplacementEmailContent"]["ReplacementTemplate"].update(
            ReplacementTemplateData="[]"
        ),
        lambda e: e["ReplacementEmailContent"]["ReplacementTemplate"].update(
            ReplacementTemplateData=json.dumps({"first": "x" * 262_144})
        ),
    ],
)
def test_a_broken_rule_of_one_entry_fails_that_entry(rig: Rig, spoil: Any) -> None:
    call = ses_bulk(["ann@x.example", "bob@x.example"])
    spoil(call["BulkEmailEntries"][0])
    assert [r["Status"] for r in results(rig, call)] == ["INVALID_PARAMETER", "SUCCESS"]


def test_stored_templates_are_not_found(rig: Rig) -> None:
    call = ses_bulk(["ann@x.example"])
    call["DefaultContent"]["Template"] = {"TemplateName": "welcome", "TemplateData": "{}"}
    assert refused(rig, call)[::2] == ("NotFoundException", 404)


def test_content_is_exactly_one_of_three(rig: Rig) -> None:
    call = {
        "FromEmailAddress": "n@a.example",
        "Destination": {"ToAddresses": ["a@x.example"]},
        "Content": {},
    }
    assert "exactly one" in refused(rig, call, "send_email")[1]
    assert (
        raw(rig, "POST", "/v2/email/outbound-emails", b'{"Content":{"Raw":{"Data":"%%%"}}}')[0]
        == 400
    )
    body = json.dumps(
        {"Content": {"Raw": {"Data": base64.b64encode(b"From: n@a.example\n\nx").decode()}}}
    )
    assert (
        "Recipient count"
        in raw(rig, "POST", "/v2/email/outbound-emails", body.encode())[1]["message"]
    )
    assert raw(rig, "POST", "/v2/email/outbound-emails", b"[]")[0] == 400
    assert raw(rig, "GET", "/v2/email/unknown")[0] == 404


def test_rate_and_quota_hold_per_entry(rig: Rig) -> None:
    rig.limits("ses", daily_quota=3)
    statuses = [r["Status"] for r in results(rig, ses_bulk([f"p{n}@x.example" for n in range(5)]))]
    assert statuses == ["SUCCESS"] * 3 + ["ACCOUNT_DAILY_QUOTA_EXCEEDED"] * 2
    quota = rig.ses.get_account()["SendQuota"]
    assert (quota["Max24HourSend"], quota["SentLast24Hours"]) == (3.0, 3.0)
    rig.limits("ses", daily_quota=None, rate_per_second=4)
    statuses = [r["Status"] for r in results(rig, ses_bulk([f"q{n}@x.example" for n in range(50)]))]
    assert statuses.count("SUCCESS") <= 4
    assert set(statuses) == {"SUCCESS", "ACCOUNT_THROTTLED"}


def test_an_unverified_sender_is_named_with_its_region(rig: Rig) -> None:
    rig.limits("ses", verified_senders=["b.example"])
    code, message, status = refused(rig, ses_bulk(["ann@x.example"]))
    assert (code, status) == ("MessageRejected", 400)
    assert message.endswith("failed the check in region US-EAST-1: news@a.example")


def test_a_subscription_is_confirmed_by_the_sdk_with_the_token_that_was_sent(
    rig: Rig, receiver: Receiver
) -> None:
    keys = rig.keys["ses"]
    rig.webhooks(target=receiver.url)
    assert rig.call("POST", "/_subscribe")[1] == {"answered": 200}
    sent = receiver.wait("/webhooks/ses", 1)[0].json
    assert sent["Type"] == "SubscriptionConfirmation"
    sns = BOTO.client(
        "sns", endpoint_url=rig.url, region_name=keys["region"],
        aws_access_key_id="x", aws_secret_access_key="y",
    )  # fmt: skip
    with closing(sns):
        with pytest.raises(ClientError):
            sns.confirm_subscription(TopicArn=keys["topic_arn"], Token="wrong")
        answer = sns.confirm_subscription(TopicArn=keys["topic_arn"], Token=sent["Token"])
    assert answer["SubscriptionArn"].startswith(keys["topic_arn"] + ":")
    assert rig.get("/_webhooks")["sns_confirmed"] is True
