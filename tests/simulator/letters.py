"""Letters to a recipient who may open, click or leave, with the ESP's own tracking on or off."""

import json
from typing import Any

from simulator.people import ONE_CLICK
from tests.simulator.rig import Rig, pm_mail, ses_bulk, sg_mail

Json = Any
OFF: dict[str, dict[str, Json]] = {
    "sendgrid": {
        "tracking_settings": {
            "open_tracking": {"enable": False},
            "click_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        }
    },
    "ses": {
        "ConfigurationOverrides": {
            "Tracking": {"OpenTrackingEnabled": "DISABLED", "ClickTrackingEnabled": "DISABLED"}
        }
    },
    "postmark": {"TrackOpens": False, "TrackLinks": "None"},
}
ON: dict[str, dict[str, Json]] = {
    "sendgrid": {
        "tracking_settings": {
            "open_tracking": {"enable": True},
            "click_tracking": {"enable": True},
            "subscription_tracking": {"enable": True},
        }
    },
    "ses": {
        "ConfigurationOverrides": {
            "Tracking": {"OpenTrackingEnabled": "ENABLED", "ClickTrackingEnabled": "ENABLED"}
        }
    },
    "postmark": {"TrackOpens": True, "TrackLinks": "HtmlOnly"},
}
ESPS = list(OFF)
FRAME = (
    '<img alt="" src="{0}/o/{1}"><a href="{0}/c/{1}/0">a</a><a href="{0}/c/{1}/1?x=1&amp;y">b</a>'
)


def send(
    rig: Rig, esp: str, people: list[str], page: str, switches: Json = None, way_out: str = "x"
) -> None:
    """One message each; `{1}` in the page and in the way out is a person's own number."""
    more = OFF[esp] if switches is None else switches
    page = page.replace("{1}", "-number-")
    headers = {"List-Unsubscribe": f"<mailto:x@x.example>, <{way_out}>"} | (
        {"List-Unsubscribe-Post": ONE_CLICK} if way_out != "x" else {}
    )
    if esp == "sendgrid":
        mail = sg_mail(people) | more
        mail["content"] = [{"type": "text/html", "value": page}]
        for n, person in enumerate(mail["personalizations"]):
            person |= {"substitutions": {"-number-": str(n)}, "headers": headers}
        assert rig.sg_send(mail).status_code == 202
    elif esp == "ses":
        call = ses_bulk(people) | more
        template = call["DefaultContent"]["Template"]
        template["TemplateContent"]["Html"] = page.replace("-number-", "{{first}}")
        template["Headers"] = []
        for n, entry in enumerate(call["BulkEmailEntries"]):
            data = {"ReplacementTemplateData": json.dumps({"first": str(n)})}
            entry["ReplacementEmailContent"] = {"ReplacementTemplate": data}
            entry["ReplacementHeaders"] = [{"Name": k, "Value": v} for k, v in headers.items()]
        rig.ses.send_bulk_email(**call)
    else:
        listed = [{"Name": name, "Value": value} for name, value in headers.items()]
        mails = [
            pm_mail(p, HtmlBody=page.replace("-number-", str(n)), Headers=listed, **more)
            for n, p in enumerate(people)
        ]
        assert rig.pm_post("/email/batch", mails)[0] == 200
