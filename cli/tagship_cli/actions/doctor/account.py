"""Checks of the account: clock, mail, functions, and CI's access."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from tagship_cli.actions.doctor.finding import Finding, Subject, ok, warning, wrong
from tagship_cli.failures import trying

REFUSED_AFTER = 300
"""The largest clock difference in seconds with which AWS still accepts signatures (Signature Version 4)."""
WORTH_SAYING = 30
NEEDED_AT_ONCE = 40
"""Concurrent invocations that must be available besides everything else in the account: two releases that start
together, each with a dozen gates and checks and its messages."""
NEARLY_FULL = 0.9
GITHUB = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"


def clock(subject: Subject) -> Iterator[Finding]:
    """Compares this machine's clock with AWS's."""
    with trying("Reading the time from AWS"):
        answer = subject.client("sts").get_caller_identity()
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if not date:
        yield warning(
            "clock", "AWS's answer contained no date.", "Compare this machine's clock with another one."
        )
        return
    seconds = round(abs((subject.now() - parsedate_to_datetime(date)).total_seconds()))
    if seconds >= REFUSED_AFTER:
        yield wrong(
            "clock",
            f"This machine's clock is {seconds} s off, so AWS refuses its requests.",
            "Synchronize it with NTP.",
        )
    elif seconds >= WORTH_SAYING:
        yield warning("clock", f"This machine's clock is {seconds} s off.", "Synchronize it with NTP.")
    else:
        yield ok("clock", "This machine's clock is correct.")


def mail_account(subject: Subject) -> Iterator[Finding]:
    """Whether SES sends mail for this account, to whom, and how much."""
    with trying("Looking at the account's mail (SES)"):
        found = subject.client("sesv2").get_account()
    if not found.get("SendingEnabled", False):
        yield wrong(
            "mail",
            "SES sends no mail for this account, so nobody would get an approval link by mail.",
            "See why in the SES console (account dashboard); Slack and `tagship approve` still work.",
        )
        return
    if found.get("ProductionAccessEnabled", False):
        yield ok("mail", "SES can send to any address.")
    else:
        yield warning(
            "mail",
            "SES is in the sandbox and sends only to verified addresses, so other approvers get no mail.",
            "Verify each approver's address, or ask for production access in the SES console.",
        )
    quota = found.get("SendQuota") or {}
    most, sent = quota.get("Max24HourSend", 0), quota.get("SentLast24Hours", 0)
    if most > 0 and sent >= most:
        yield wrong(
            "mail",
            f"SES has sent {sent:.0f} of {most:.0f} mails a day and sends no more today.",
            "Request a higher quota.",
        )
    elif most > 0 and sent >= NEARLY_FULL * most:
        yield warning(
            "mail", f"SES has sent {sent:.0f} of {most:.0f} mails a day.", "Request a higher quota."
        )


def sender(subject: Subject) -> Iterator[Finding]:
    """Whether the sender address or its domain is verified, and which default configuration set SES uses."""
    address = subject.parameters.get("SenderAddress", "")
    domain = address.rpartition("@")[2]
    for identity in (address, domain):
        found = _identity(subject, identity)
        if found is None:
            continue
        if not found.get("VerifiedForSendingStatus", False):
            yield wrong(
                "mail",
                f"{identity} is not verified in SES, so no mail can be sent from {address}.",
                f"Verify it: aws sesv2 get-email-identity --email-identity {identity} shows what is missing.",
            )
        else:
            by_default = found.get("ConfigurationSetName")
            added = f" SES adds the configuration set {by_default}." if by_default else ""
            yield ok("mail", f"{address} can send mail: {identity} is verified.{added}")
        return
    yield wrong(
        "mail",
        f"SES has no identity {address} or {domain}, so no mail can be sent.",
        f"Create and verify one: aws sesv2 create-email-identity --email-identity {domain}; or deploy with another "
        "SenderAddress.",
    )


def _identity(subject: Subject, name: str) -> dict[str, object] | None:
    from botocore.exceptions import ClientError

    from tagship.aws.calls import code_of

    with trying(f"Looking at {name} in SES"):
        try:
            found: dict[str, object] = subject.client("sesv2").get_email_identity(EmailIdentity=name)
        except ClientError as error:
            if code_of(error) == "NotFoundException":
                return None
            raise
    return found


def functions(subject: Subject) -> Iterator[Finding]:
    """Whether there is enough concurrency and enough storage for code."""
    with trying("Looking at the account's limits of Lambda"):
        found = subject.client("lambda").get_account_settings()
    limit, usage = found["AccountLimit"], found["AccountUsage"]
    free = limit["UnreservedConcurrentExecutions"]
    if free < NEEDED_AT_ONCE:
        yield wrong(
            "functions",
            f"Only {free} functions can run at once in this account (of {limit['ConcurrentExecutions']}; "
            f"the rest is reserved). Releases need {NEEDED_AT_ONCE}, so they would be throttled.",
            "Request a higher quota: Service Quotas, AWS Lambda, Concurrent executions (L-B99A9384).",
        )
    else:
        yield ok("functions", f"{free:,} functions can run at once.")
    used, room = usage["TotalCodeSize"], limit["TotalCodeSize"]
    if used >= NEARLY_FULL * room:
        yield warning(
            "functions",
            f"{used / room:.0%} of the account's {room / 1024**3:.0f} GiB for code is used; when it is full, nothing can be "
            "published.",
            "Delete old versions of functions, or request a higher quota (L-2ACBD22F).",
        )
    else:
        yield ok("functions", f"{used / room:.0%} of the account's code storage is used.")


def publisher(subject: Subject) -> Iterator[Finding]:
    """Whether the account trusts the token issuer of the publishing repository."""
    from botocore.exceptions import ClientError

    from tagship.aws.calls import code_of

    repository = subject.parameters.get("PublisherRepository", "")
    if not repository:
        yield ok(
            "ci",
            "The stack's own publisher role trusts no GitHub repository. An application can have its own: "
            "tagship role --publisher.",
        )
        return
    partition = subject.stack["StackId"].split(":")[1]
    arn = f"arn:{partition}:iam::{subject.account}:oidc-provider/{GITHUB}"
    create = (
        f"Create it once per account: aws iam create-open-id-connect-provider --url https://{GITHUB} "
        f"--client-id-list {AUDIENCE}"
    )
    with trying("Looking at the account's identity provider for GitHub"):
        try:
            found = subject.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        except ClientError as error:
            if code_of(error) != "NoSuchEntity":
                raise
            yield wrong(
                "ci",
                f"The account has no identity provider for GitHub, so {repository} can't publish.",
                create,
            )
            return
    if AUDIENCE not in found.get("ClientIDList", ()):
        yield wrong(
            "ci",
            f"The account's provider for GitHub does not accept tokens for {AUDIENCE}, so {repository} "
            f"can't publish.",
            f"Add it: aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn {arn} "
            f"--client-id {AUDIENCE}",
        )
    else:
        yield ok("ci", f"Workflows of {repository} can publish.")
