"""The evidence bucket: each file is written once, and the first one is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto import mock_aws

from tagship.model.errors import AwsUnavailable
from tagship.notices import evidence
from tests.unit.tables import aws_error, client_of

PIECE = {"application": "storefront", "tag": "v1.4.0", "digest": "d", "why": "Änderung → zurück"}
KEY = "storefront/v1.4.0/0000000012-abc.json"


def keep(s3: Any, piece: dict[str, Any] = PIECE) -> bool:
    return evidence.keep(piece, key=KEY, s3=s3, bucket="evidence")


def test_it_is_stored_once_and_the_first_one_is_kept():
    with mock_aws():
        s3 = client_of("s3")
        s3.create_bucket(Bucket="evidence", ObjectLockEnabledForBucket=True)
        assert keep(s3)
        assert not keep(s3)
        assert not keep(s3, PIECE | {"why": "forged"})
        body = s3.get_object(Bucket="evidence", Key=KEY)["Body"].read()
        assert json.loads(body) == PIECE
        assert len(s3.list_object_versions(Bucket="evidence")["Versions"]) == 1


class Refusing:
    """S3, which refuses."""

    def __init__(self, code: str, status: int) -> None:
        self.error = aws_error(code, status=status)

    def put_object(self, **_: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    "code, status", [("ConditionalRequestConflict", 409), ("SlowDown", 503), ("InternalError", 500)]
)
def test_a_transient_error_is_retried(code, status):
    with pytest.raises(AwsUnavailable):
        keep(Refusing(code, status))


def test_a_missing_permission_is_reported_unchanged():
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match="AccessDenied"):
        keep(Refusing("AccessDenied", 403))


def test_equal_content_has_equal_bytes():
    assert evidence.as_bytes(PIECE) == evidence.as_bytes(dict(reversed(PIECE.items())))
