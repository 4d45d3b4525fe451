"""Signs with a KMS key in the form that the gates expect: a raw signature over a SHA-256, with the caller's identity."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast, get_args

import click

from tagship.model.application import SigningAlgorithm
from tagship_cli.failures import trying
from tagship_cli.options import Option, together

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

ALGORITHMS = get_args(SigningAlgorithm)


def sign_options(what: str) -> Option:
    """The options `--sign` and `--algorithm`."""
    return together(
        click.option("--sign", "key", metavar="KEY", help=f"Sign {what} with this KMS key: alias/tagship-…"),
        click.option(
            "--algorithm",
            type=click.Choice(ALGORITHMS),
            default=ALGORITHMS[0],
            show_default=True,
            help="The key's signing algorithm.",
        ),
    )


def signed(kms: KMSClient, body: bytes, *, key: str, algorithm: str) -> bytes:
    """The raw signature of these bytes.

    Raises AwsRefused if KMS refuses to sign.
    """
    with trying(f"Signing with {key} (nothing has been uploaded yet)"):
        signature: bytes = kms.sign(
            KeyId=key,
            Message=hashlib.sha256(body).digest(),
            MessageType="DIGEST",
            SigningAlgorithm=cast("SigningAlgorithm", algorithm),
        )["Signature"]
    return signature
