"""A notice as a mail; all mails of a release form one conversation."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of, message_of
from tagship.ledger.table import Ledger
from tagship.model.records import Known
from tagship.notices.channel import Channel, Fact, Means, NeverTaken, level_of, notifications, texts
from tagship.notices.notice import Notice, is_sent, notice_of
from tagship.text.plain import line
from tagship.text.rendering import environment

if TYPE_CHECKING:
    from jinja2 import Template
    from mypy_boto3_ses import SESClient

_REFUSED_FOR_GOOD = ("MessageRejected", "InvalidParameterValue")
"""SES's SendRawEmail: an address that is not verified or not valid, or a mail that it rejects."""
_SIGNS = {"plain": "", "good": "✔ ", "wary": "● ", "bad": "✖ "}
_COLOURS = {"plain": "#57606a", "good": "#1a7f37", "wary": "#9a6700", "bad": "#cf222e"}
"""White text on them has a contrast of at least 4.5 to 1, both on white and on near-black pages."""


def send(notice: Notice, *, to: tuple[str, ...], sender: str, ses: SESClient) -> None:
    """One mail. SES accepts it for all of its addresses or for none, so give it one address at a time.

    Raises NeverTaken if SES refuses the address or the mail permanently, AwsUnavailable, or AWS's own refusal.
    """
    try:
        with calling(f"Mailing a notice about {notice.application} {notice.tag}"):
            ses.send_raw_email(
                Source=sender,
                Destinations=list(to),
                RawMessage={"Data": letter(notice, to=to, sender=sender).as_bytes()},
            )
    except ClientError as error:
        if code_of(error) not in _REFUSED_FOR_GOOD:
            raise
        raise NeverTaken(
            f"SES refused the mail to {', '.join(to)} ({code_of(error)}): {message_of(error)} Correct the "
            "address or, in the SES sandbox, verify it. Then resend the notices that were set aside."
        ) from error


def letter(notice: Notice, *, to: tuple[str, ...], sender: str) -> EmailMessage:
    """Text and HTML. SES gives each mail its own Message-ID, so all of them refer to one that was never sent."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = line(f"[Tagship] {notice.subject}", 150)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    first = f"<{notice.application}.{notice.tag}.{notice.attempt}.{notice.stage}@tagship.invalid>"
    mail["In-Reply-To"] = first
    mail["References"] = first
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text_of(notice))
    mail.add_alternative(html_of(notice), subtype="html")
    return mail


def text_of(notice: Notice) -> str:
    """The plain text version."""
    paragraphs = [
        f"{notice.subject}: {notice.text}",
        *notice.more,
        f"Current release: {notice.serves}" if notice.serves else "",
        "\n".join(["Next steps:", *(f"- {needed}" for needed in notice.needed)]) if notice.needed else "",
        f"Details: {notice.look}" if notice.look else "",
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def html_of(notice: Notice) -> str:
    """One table, inline style, nothing loaded from elsewhere."""
    return _template().render(
        notice=notice, sign=_SIGNS[notice.mood.value], colour=_COLOURS[notice.mood.value]
    )


@cache
def _template() -> Template:
    return environment(Path(__file__).parent / "templates").get_template("notice.html")


def take(fact: Fact, record: Known, means: Means) -> None:
    """Raises NeverTaken, AwsUnavailable, or AWS's own refusal."""
    emails = notifications(record).get("emails")
    if emails and (notice := notice_of(fact, record, level=level_of(record))):
        send(
            notice,
            to=tuple(emails),
            sender=means.sender,
            ses=means.client("ses"),
        )


def has_recipients(fact: Fact, record: Known, _: Ledger) -> bool:
    """Whether the application names an address, and gets this fact at its level."""
    return bool(notifications(record).get("emails")) and is_sent(fact, level_of(record))


CHANNEL = Channel(
    wants=is_sent,
    take=take,
    has_recipients=has_recipients,
    readers=lambda _, settings: [{"emails": [address]} for address in texts(settings.get("emails"))],
    each_alone=True,
)
