"""Makes moto faster where it repeats work in every call. Its answers stay the same: `tests/unit/test_quick_moto.py`.

With this, a whole release in one process takes a third of the processor time, and a command on a stage in memory half.
"""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any

import moto.core.models
import moto.core.responses
import moto.kms.models
from moto.core.model import StructureShape
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

type Serialize = Callable[[BaseJSONSerializer, dict[str, Any], Any, StructureShape, str], None]


@functools.cache
def quicken() -> None:
    """Makes moto quicker in this process, once."""
    # The names of a class's methods, which each call looks up.
    moto.core.responses.method_names_from_class = functools.cache(moto.core.responses.method_names_from_class)
    # The addresses that moto registers for the library requests at the start of each test: 1,288 of them. Nothing here
    # uses that library, and without them it reaches nobody.
    moto.core.models.RESPONSES_METHODS = []
    # An RSA key for each key of KMS, whatever it is for.
    moto.kms.models.generate_private_key = _only_where_it_signs(moto.kms.models.generate_private_key)
    # The names under which a member of an answer may be found: up to twelve for each member that a value could have.
    serialize: Any = BaseJSONSerializer._serialize_type_structure
    BaseJSONSerializer._serialize_type_structure = _only_what_is_there(serialize)  # type: ignore[method-assign]
    # The copy of a whole table that each transaction makes, to put it back.
    Table.__deepcopy__ = _sharing_its_items  # type: ignore[attr-defined]
    DynamoDBBackend.update_item = _on_a_copy(DynamoDBBackend.update_item)  # type: ignore[method-assign]


@functools.cache
def quicken_machines() -> None:
    """The same for Step Functions: definitions and paths are read once, and a task's client is made once."""
    from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
    from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_callback,
        state_task_service_sfn,
    )
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
    from moto.stepfunctions.parser.asl.utils import boto_client, json_path

    @functools.cache
    def client(region: str, service: str) -> Any:
        return boto_client.boto_client_for(region, service)

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        return client(region, service)

    lambda_eval_utils.boto_client_for = client_for
    state_task_service_sfn.boto_client_for = client_for
    AmazonStateLanguageParser.parse = staticmethod(_once(AmazonStateLanguageParser.parse))  # type: ignore[method-assign]
    json_path.parse = _once(json_path.parse)
    # The counter of an execution's attempts. moto creates it at its first use, which two executions can do
    # concurrently.
    EvalComponent.heap_key = property(lambda self: str(id(self)))  # type: ignore[assignment]
    state_task_service_callback._DELAY_SECONDS_SYNC_CONDITION_CHECK = 0.05  # type: ignore[misc]


def _once[T](parse: Callable[[str], T]) -> Callable[[str], T]:
    """Parses a text once, and one text at a time: the parser of paths is not made for threads."""
    known, lock = functools.cache(parse), threading.Lock()

    def parsed(text: str) -> T:
        with lock:
            return known(text)

    return parsed


def _only_where_it_signs(generate: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda key_spec: generate(key_spec) if key_spec.startswith(("RSA", "ECC")) else None


def _only_what_is_there(serialize: Serialize) -> Serialize:
    """A dictionary with no other key than its shape's members has each of them under its own name, or not at all."""

    @functools.wraps(serialize)
    def quickly(
        self: BaseJSONSerializer, serialized: dict[str, Any], value: Any, shape: StructureShape, key: str
    ) -> None:
        named = type(value) is dict and not shape.is_document_type and value.keys() <= shape.members.keys()
        if not named or self._value_picker.response_transformers:
            serialize(self, serialized, value, shape, key)
            return
        wrapper = {} if key else serialized
        for name, found in value.items():
            if found is not None:
                shape.members[name].parent = shape  # type: ignore[attr-defined]
                self._serialize(wrapper, found, shape.members[name], name)
        if key:
            self._default_serialize(serialized, wrapper, shape, key)

    return quickly


def _sharing_its_items(self: Table, memo: dict[int, Any]) -> Table:
    copied = Table.__new__(Table)
    copied.__dict__ |= self.__dict__
    copied.items = defaultdict(dict, {key: copy(found) for key, found in self.items.items()})
    return copied


def _on_a_copy(update: Callable[..., Any]) -> Callable[..., Any]:
    """Changes an item's copy, because a transaction's copy of the table shares the item."""

    def updated(self: DynamoDBBackend, table_name: str, key: dict[str, Any], **options: Any) -> Any:
        table = self.get_table(table_name)
        keys = [DynamoType(key[name]) for name in table.table_key_attrs if name in key]
        if len(keys) == 2 and (item := table.get_item(*keys)):
            table.items[keys[0]][keys[1]] = deepcopy(item)
        return update(self, table_name, key, **options)

    return updated
