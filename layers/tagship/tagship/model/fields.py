"""Constraints for the fields of external documents.

The nouns carry these as annotations. pydantic is imported only when a document is read (`documents.py`), so other
functions don't pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from decimal import Context, Decimal
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

Example = Mapping[str, object]
"""A part of an external document as someone would write it, for the schema."""
Examples = Mapping[str, Sequence[object]]
"""More of them, by field."""
CONFIG = {"extra": "forbid", "use_attribute_docstrings": True, "strict": True}
"""The configuration that every noun of an external document is read with."""
_DIGITS = 38
_EXPONENTS = range(-130, 126)
"""The number of digits that the ledger (DynamoDB) can store."""
MOST_DIGITS = 65_536


class Matching:
    """Printable ASCII of a given form; the error describes the form in words, and the JSON Schema has the pattern."""

    __slots__ = ("pattern", "words")

    def __init__(self, pattern: str, words: str) -> None:
        self.pattern = pattern
        self.words = words

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core_schema), "pattern": self.pattern}

    def _check(self, value: str) -> str:
        if not re.search(self.pattern, value):
            raise ValueError(f"must be {self.words}")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"must be {self.words}, in plain ASCII")
        return value


class ByType:
    """A union whose members are distinguished by their `type`, so that an error concerns one of them, not all.

    With a single member it does nothing.
    """

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic import Discriminator

        if get_origin(source) not in (Union, UnionType):
            return handler(source)
        return handler.generate_schema(Annotated[source, Discriminator("type")])


class Plain:
    """Text, a number, or true or false."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": ["string", "number", "boolean"]}

    def _check(self, value: object) -> object:
        if not isinstance(value, str | int | float):
            raise ValueError("must be text, a number, or true or false")  # noqa: TRY004 (pydantic passes a TypeError on)
        return value


class Duration:
    """Whole seconds that may also be written as an ISO-8601 duration: `PT1H30M`."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(seconds, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "anyOf": [handler(core_schema), {"type": "string", "format": "duration", "examples": ["PT1H30M"]}]
        }


class Switch:
    """A noun that may be written as `true`, for all its defaults, or as `false`, for none."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self._spelled_out, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "boolean"}, *handler(core_schema)["anyOf"]]}

    def _spelled_out(self, value: object) -> object:
        if isinstance(value, bool):
            return {} if value else None
        if value is not None and not isinstance(value, Mapping):
            raise ValueError("must be true, false or an object with fields")
        return value


_ISO_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)


def seconds(value: object) -> object:
    """Whole seconds from an ISO-8601 duration (weeks to seconds: months and years have no fixed length); else as it was.

    Raises ValueError for text that is no such duration.
    """
    if not isinstance(value, str):
        return value
    match = _ISO_DURATION.fullmatch(value)
    if not match or not any(match.groups()):
        raise ValueError("must be whole seconds or an ISO-8601 duration like PT1H30M")
    weeks, days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + rest


def rebuilt(hint: Any, value: Any) -> Any:
    """The noun for a validated document in the ledger: the reverse of `dataclasses.asdict`.

    Fields missing in the document, because it was written before they existed, get their default.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if origin is Annotated:
        return rebuilt(arguments[0], value)
    if origin in (Union, UnionType):
        return rebuilt(_member(arguments, value), value)
    if origin is tuple:
        return tuple(rebuilt(arguments[0], item) for item in value)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = hints_of(hint)
        return hint(**{name: rebuilt(hints[name], item) for name, item in value.items()})
    return value


def _member(members: tuple[Any, ...], value: Any) -> Any:
    """The member of a union: the only one besides None, or the one whose `type` matches."""
    nouns = [member for member in members if member is not NoneType]
    if len(nouns) == 1 or not isinstance(value, Mapping):
        return nouns[0]
    return next(noun for noun in nouns if value["type"] in get_args(hints_of(noun)["type"]))


@cache
def hints_of(noun: type) -> Mapping[str, Any]:
    """A noun's fields, each with its type."""
    return get_type_hints(noun)


UNKEPT = f"has a number that does not fit into {_DIGITS} digits"
FUNCTION_NAME = Matching(r"^[A-Za-z0-9_-]{1,64}$", "a function's name: letters, digits, - and _, at most 64")
ACCOUNT = Matching(r"^\d{12}$", "an account ID: 12 digits, in quotes")
REGION = Matching(
    r"^[a-z]{2,4}(-[a-z]+)*-(central|north|south|(north|south)?(east|west))-\d{1,2}$",
    "a region, like eu-central-1",
)
"""Names of regions end in a point of the compass and a number, so that typing errors are found without a list of them."""
ROLE = Matching(
    r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$",
    "a role's ARN: arn:aws:iam::123456789012:role/name",
)
EXTERNAL_ID = Matching(r"^[\w+=,.@:/-]{2,1224}$", "2 to 1224 letters, digits and any of + = , . @ : / -")
ALARM_NAME = Matching(r"^.{1,255}$", "an alarm's name, 1 to 255 characters")
WINDOW = (
    r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:[-,](?:Mon|Tue|Wed|Thu|Fri|Sat|Sun))*"
    r" (?:[01]\d|2[0-3]):[0-5]\d-(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00) [A-Za-z][A-Za-z0-9_+/-]{0,63}$"
)
WINDOW_WORDS = (
    "days, times and a time zone, like Mon-Thu 09:00-16:00 Europe/Berlin or Sat,Sun 22:00-02:00 UTC"
)


def can_be_kept(data: object) -> bool:
    """Whether the ledger can store it: numbers within its digits, and no field without a name."""
    match data:
        case bool():
            return True
        case int() | float():
            number = Decimal(str(data)).normalize(Context(prec=MOST_DIGITS))
            digits = len(number.as_tuple().digits)
            return not number or (digits <= _DIGITS and number.adjusted() in _EXPONENTS)
        case dict():
            return all(data) and all(map(can_be_kept, data.values()))
        case list():
            return all(map(can_be_kept, data))
        case _:
            return True
