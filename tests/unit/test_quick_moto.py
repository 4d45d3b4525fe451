"""A quicker moto answers as moto does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.core.serialize import BaseJSONSerializer, JSONSerializer, XFormedAttributePicker
from moto.core.utils import get_service_model

from tests.unit.tables import client_of, ledger_table

ORIGINAL = BaseJSONSerializer._serialize_type_structure.__wrapped__  # type: ignore[attr-defined]
DYNAMODB = get_service_model("dynamodb")

values = st.recursive(
    st.one_of(
        st.text(max_size=3).map(lambda text: {"S": text}),
        st.integers().map(lambda number: {"N": str(number)}),
        st.booleans().map(lambda yes: {"BOOL": yes}),
        st.just({"NULL": True}),
        st.lists(st.text(max_size=3), min_size=1, max_size=3).map(lambda texts: {"SS": texts}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: {"L": found}),
        st.dictionaries(st.sampled_from(["S", "sk", "value", "Key"]), inner, max_size=3).map(
            lambda found: {"M": found}
        ),
    ),
    max_leaves=8,
)
items = st.dictionaries(st.sampled_from(["pk", "sk", "Item", "attributes", "S"]), values, max_size=4)


def _serialized(operation: str, result: Any) -> Any:
    serializer = JSONSerializer(DYNAMODB.operation_model(operation), value_picker=XFormedAttributePicker())
    return json.loads(serializer.serialize(result)["body"])


@settings(max_examples=30)
@given(item=items)
def test_an_item_is_written_as_by_moto(item: dict[str, Any]) -> None:
    answers = [
        ("GetItem", {"Item": item}),
        ("Query", {"Items": [item, item], "Count": 2, "ScannedCount": None}),
    ]
    for operation, result in answers:
        quick = _serialized(operation, result)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseJSONSerializer, "_serialize_type_structure", ORIGINAL)
            assert quick == _serialized(operation, result)
    assert _serialized("GetItem", {"Item": item})["Item"] == item


@pytest.mark.parametrize(
    "result",
    [
        {"table_description": {"table_name": "ledger", "item_count": 3}},
        {"TableDescription": {"Name": "ledger", "TableStatus": "ACTIVE"}},
        {"Description": {"TableName": "ledger"}},
    ],
)
def test_a_renamed_member_is_found_as_by_moto(result: dict[str, Any]) -> None:
    quick = _serialized("CreateTable", result)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseJSONSerializer, "_serialize_type_structure", ORIGINAL)
        assert quick == _serialized("CreateTable", result)


def test_a_cancelled_transaction_leaves_every_item_unchanged() -> None:
    with ledger_table() as table:
        before = {"pk": {"S": "a"}, "sk": {"S": "b"}, "nested": {"M": {"n": {"N": "1"}}}}
        table.put_item(TableName="ledger", Item=before)
        key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
        changed = {
            "TableName": "ledger",
            "Key": key,
            "UpdateExpression": "SET nested.n = :n, more = :n",
            "ExpressionAttributeValues": {":n": {"N": "2"}},
        }
        new = {"TableName": "ledger", "Item": {"pk": {"S": "a"}, "sk": {"S": "new"}}}
        refused = {
            "TableName": "ledger",
            "Key": {"pk": {"S": "no"}, "sk": {"S": "no"}},
            "ConditionExpression": "attribute_exists(pk)",
        }
        with pytest.raises(ClientError, match="TransactionCanceled"):
            table.transact_write_items(
                TransactItems=[{"Update": changed}, {"Put": new}, {"ConditionCheck": refused}]
            )
        assert table.scan(TableName="ledger")["Items"] == [before]
        table.transact_write_items(TransactItems=[{"Update": changed}, {"Put": new}])
        assert table.get_item(TableName="ledger", Key=key)["Item"]["nested"] == {"M": {"n": {"N": "2"}}}


def test_keys_that_sign_still_sign() -> None:
    with ledger_table():
        kms = client_of("kms")
        signs = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        algorithm = "RSASSA_PKCS1_V1_5_SHA_256"
        signature = kms.sign(KeyId=signs, Message=b"m", SigningAlgorithm=algorithm)["Signature"]
        assert kms.verify(KeyId=signs, Message=b"m", Signature=signature, SigningAlgorithm=algorithm)[
            "SignatureValid"
        ]
        vouches = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
        mac = kms.generate_mac(KeyId=vouches, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
        assert kms.verify_mac(KeyId=vouches, Message=b"m", MacAlgorithm="HMAC_SHA_256", Mac=mac)["MacValid"]
