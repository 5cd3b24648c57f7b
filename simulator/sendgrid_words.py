"""SendGrid's validation messages and how its `errors` array is built; judges nothing.

Pages: "Mail Send: Errors", and the support article "Validation Error(s) when Sending Emails Using
the Mail Send API".
"""

from simulator.wire import Json

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."
# A thousand personalizations may each be wrong; more errors than that help nobody.
MAX_ERRORS = 1000

TO_REQUIRED = (
    "The to array is required for all personalization objects, and must have at least one email "
    "object with a valid email address."
)
BAD_ADDRESS = "Does not contain a valid address."
BAD_TYPE = "Bad Request"
FROM_REQUIRED = (
    "The from object must be provided for every email send. It is an object that requires the "
    "email parameter, but may also contain a name parameter."
)
FROM_BAD = "The from email does not contain a valid address."
REPLY_TO_BAD = "The reply_to email does not contain a valid address."
REPLY_TO_TWICE = "The reply_to and reply_to_list parameters are mutually exclusive."
CONTENT_REQUIRED = (
    "Unless a valid template_id is provided, the content parameter is required. There must be at "
    "least one defined content block. We typically suggest both text/plain and text/html blocks "
    "are included, but only one block is required."
)
CONTENT_TYPE = "The content type must be a string at least one character in length."
CONTENT_VALUE = "The content value must be a string at least one character in length."
CONTENT_ORDER = (
    "If present, text/plain must be first, followed by text/html, followed by any other content."
)
SUBJECT_REQUIRED = (
    "The subject is required. You can get around this requirement if you use a template with a "
    "subject defined or if every personalization has a subject defined."
)
TOO_FAR_AHEAD = "Scheduling more than 72 hours in advance is forbidden."
RESERVED_HEADER = "You cannot use a reserved header in the headers parameter."
HEADER_LINES = "Header values may not contain line breaks."
ARGS_TOO_LONG = "The total length of custom arguments must be less than 10000 bytes."
SUBSTITUTIONS_TOO_LONG = (
    "The total collective size of your substitutions may not exceed 10,000 bytes per "
    "personalization object."
)
PERSONALIZATIONS_REQUIRED = (
    "The personalizations field is required and must have at least one personalization."
)
TOO_MANY_PERSONALIZATIONS = (
    "The personalization block is limited to 1000 personalizations per API request. You have "
    "provided {} personalizations. Please consider splitting this into multiple requests and "
    "resending your request."
)
TOO_MANY_RECIPIENTS = "There is a limit of 1000 total recipients (to + cc + bcc) per request."
TWICE_WITHIN = (
    "Each email address in the personalization block should be unique between to, cc, and bcc. We "
    "found the first duplicate instance of [{}] in the personalizations.{} field."
)
TWICE = (
    "Each unique email address in the personalizations array should only be included once. You "
    "have included [{}] more than once."
)
# JSON's own names of the types that Python's reader makes of them.
_TYPE_NAMES = {
    str: "string", bool: "boolean", int: "integer", float: "number", list: "array",
    dict: "object", type(None): "null",
}  # fmt: skip


def wrong_type(expected: str, given: Json) -> str:
    """What SendGrid says of a value whose JSON type is not the one it wants."""
    return f"Invalid type. Expected: {expected}, given: {_TYPE_NAMES[type(given)]}."


class Errors(list[Json]):
    """SendGrid's `errors` array."""

    def say(self, message: str, field: str | None, anchor: str = "") -> None:
        if len(self) < MAX_ERRORS:
            topic = anchor or (field or "").split(".")[0]
            page = HELP + topic if topic else None
            self.append({"message": message, "field": field, "help": page})
