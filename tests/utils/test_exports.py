"""Other systems' exports as they are: nobody who left there becomes active here."""

from typing import Any

import pytest

from utils.exports import DANGEROUS, recognise, shown

LISTMONK = ("uuid", "email", "name", "attributes", "status", "created_at", "updated_at")
MAILCHIMP = (
    "Email Address", "First Name", "Last Name", "MEMBER_RATING", "OPTIN_TIME", "OPTIN_IP",
    "CONFIRM_TIME", "CONFIRM_IP", "LATITUDE", "LONGITUDE", "GMTOFF", "DSTOFF", "TIMEZONE", "CC",
    "REGION", "LAST_CHANGED", "LEID", "EUID", "NOTES", "TAGS",
)  # fmt: skip


def adapted(columns: tuple[str, ...], cells: dict[str, Any], name: str = "") -> Any:
    return recognise(columns, name).adapt(cells)


def test_a_plain_list_is_left_as_it_is() -> None:
    for columns in (("email",), ("email", "status", "uuid"), ("Email Address", "First Name")):
        found = recognise(columns)
        assert (found.name, found.warnings) == ("", ())
        assert found.adapt({"email": "'=x"}) == ({"email": "'=x"}, None)


def test_listmonks_csv_is_known_and_warned_of() -> None:
    found = recognise(LISTMONK)
    assert found.name == "listmonk"
    assert "does not say who unsubscribed" in found.warnings[0]
    assert "status=unsubscribed" in found.warnings[0]
    cells = {"email": "a@y.de", "status": "enabled", "updated_at": "2024"}
    assert found.adapt(cells) == ({"email": "a@y.de", "status": "enabled"}, None)


@pytest.mark.parametrize(
    "lists,status,least,left",
    [
        ([("A", "confirmed", "single"), ("B", "unsubscribed", "single")], "enabled", None, ["B"]),
        ([("A", "unsubscribed", "single")], "enabled", "unsubscribed", ["A"]),
        ([("A", "unconfirmed", "single")], "enabled", None, []),
        ([("A", "unconfirmed", "double")], "pending", None, []),
        ([("A", "unconfirmed", "double"), ("B", "confirmed", "double")], "enabled", None, []),
        ([], "enabled", None, []),
    ],
)
def test_listmonks_api_says_who_left_which_list(
    lists: list[tuple[str, str, str]], status: str, least: str | None, left: list[str]
) -> None:
    person = {
        "id": 5, "uuid": "u", "email": "a@y.de", "attribs": {}, "status": "enabled",
        "lists": [{"name": n, "subscription_status": s, "optin": o} for n, s, o in lists],
    }  # fmt: skip
    found = recognise(tuple(person))
    assert found.warnings == ()
    cells, floor = found.adapt(person)
    assert (cells["status"], floor, cells["topic_opt_outs"]) == (status, least, left)
    assert cells["tags"] == [name for name, _, _ in lists]
    assert "id" not in cells


@pytest.mark.parametrize(
    "cells,name,status,least",
    [
        ({"OPTIN_TIME": "2020-01-01 00:00:00"}, "", None, None),
        ({"CONFIRM_TIME": "2020-01-01 00:00:00"}, "", None, None),
        ({}, "", "pending", None),
        ({"OPTIN_TIME": "2020"}, "nonsubscribed_email_audience_export_1.csv", "pending", None),
        ({"OPTIN_TIME": "2020"}, "subscribed_email_audience_export_1.csv", None, None),
        ({"OPTIN_TIME": "2020"}, "unsubscribed_email_audience_export_1.csv", None, "unsubscribed"),
        ({"OPTIN_TIME": "2020"}, "cleaned_email_audience_export_1.csv", None, "bounced"),
        ({"OPTIN_TIME": "2020", "UNSUB_TIME": "2021"}, "", None, "unsubscribed"),
        ({"OPTIN_TIME": "2020", "CLEAN_TIME": "2021"}, "", None, "bounced"),
    ],
)
def test_mailchimps_files_say_their_status_in_columns_or_their_name(
    cells: dict[str, str], name: str, status: str | None, least: str | None
) -> None:
    columns = (*MAILCHIMP, *(set(cells) - set(MAILCHIMP)))
    found, floor = adapted(columns, {"Email Address": "a@y.de", **cells}, name)
    assert (found.get("status"), floor) == (status, least)


def test_mailchimp_is_warned_of_unless_the_file_says_its_status() -> None:
    assert "status=pending" in recognise(MAILCHIMP).warnings[0]
    assert recognise((*MAILCHIMP, "UNSUB_TIME")).warnings == ()
    assert recognise(MAILCHIMP, "cleaned_email_audience_export_1.csv").warnings == ()


@pytest.mark.parametrize("text", ["", "plain", "'quoted'", "''", *(f"{m}x" for m in DANGEROUS)])
def test_what_is_made_harmless_is_read_back(text: str) -> None:
    safe = shown(text)
    assert not safe.startswith(DANGEROUS[:-1])
    columns = ("email", "attributes", "topic_opt_outs")
    assert adapted(columns, {"name": safe, "attributes": "{}"}) == (
        {"name": text, "attributes": "{}"}, None,
    )  # fmt: skip


def test_our_own_json_was_never_made_harmless() -> None:
    cells = {"name": "'=x", "attributes": {}, "topic_opt_outs": []}
    assert adapted(tuple(cells), cells) == (cells, None)
