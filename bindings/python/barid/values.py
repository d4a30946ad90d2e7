"""What fields hold, as Python's own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Union

from . import _ffi
from .errors import Invalid

#: What a field holds: nothing (known to be empty), yes or no, a whole number, a number, text, bytes, a
#: list or a map. Lists and maps are merged as a whole.
Value = Union[None, bool, int, float, str, bytes, Sequence["Value"], Mapping[str, "Value"]]

#: What a field may be given: a time too, which is kept as milliseconds since 1970.
Given = Union[None, bool, int, float, str, bytes, datetime, Sequence["Given"], Mapping[str, "Given"]]


# The generated variants are not told to be what they are variants of.
_Variants: Any = _ffi.FieldValue


def to_millis(time: datetime) -> int:
    """Milliseconds since 1970. A time without a zone would be another one on another device."""
    if time.tzinfo is None:
        raise Invalid("a time needs a zone, as datetime.now(timezone.utc) has")
    return round(time.timestamp() * 1000)


def from_millis(millis: int) -> datetime:
    """The time, in UTC."""
    return datetime.fromtimestamp(millis / 1000, timezone.utc)


def to_core(value: Given) -> Any:
    """The core's form of a value."""
    if value is None:
        return _Variants.NULL()
    if isinstance(value, bool):
        return _Variants.FLAG(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Invalid("a whole number has 64 bits")
        return _Variants.INT(value)
    if isinstance(value, float):
        return _Variants.NUMBER(value)
    if isinstance(value, str):
        return _Variants.TEXT(value)
    if isinstance(value, (bytes, bytearray)):
        return _Variants.BYTES(bytes(value))
    if isinstance(value, datetime):
        return _Variants.INT(to_millis(value))
    if isinstance(value, Mapping):
        return _Variants.ENTRIES({name: to_core(item) for name, item in value.items()})
    if isinstance(value, Sequence):
        return _Variants.ITEMS([to_core(item) for item in value])
    raise Invalid(f"a field cannot hold a {type(value).__name__}")


def from_core(value: Any) -> Value:
    """Python's form of a value."""
    if value.is_NULL():
        return None
    if value.is_ITEMS():
        return [from_core(item) for item in value.value]
    if value.is_ENTRIES():
        return {name: from_core(item) for name, item in value.value.items()}
    held: Value = value.value
    return held


def fields_to_core(fields: Mapping[str, Given]) -> dict[str, Any]:
    return {name: to_core(value) for name, value in fields.items()}


def fields_from_core(fields: Mapping[str, Any]) -> dict[str, Value]:
    return {name: from_core(value) for name, value in fields.items()}
