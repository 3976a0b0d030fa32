"""The base of all data models, and the field types that they share.

Invariant: models are frozen, strict and know every field; JSON lists become tuples, JSON texts become times and paths,
and nothing else is converted.

Modules that define models do without ``from __future__ import annotations``: it would leave pydantic to evaluate every
annotation from its text, at every start of the command line.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    PlainValidator,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import json_or_python_schema, no_info_before_validator_function

from lonelycat.changes.paths import all_to_wire, check_path, from_wire, to_wire


class Strict(BaseModel):
    """Base of all data models: frozen, strict, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_bytes="base64", defer_build=True)


class Numerous(Strict):
    """Base of models that come in tens of thousands.

    pydantic notes for each instance which fields were given: a set that takes more memory than all the rest of it and
    that nobody asks for here. Instances of one class share one that names all fields. It also makes each a dictionary
    with keys of its own, where the attributes of plain objects share theirs; a dictionary of such an object is half as
    large, and takes a tenth of the time that building an instance does.
    """

    _all_fields: ClassVar[set[str]] = set()
    _plain: ClassVar[type] = object

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._all_fields = set(cls.model_fields)
        cls._plain = type("_Plain", (), {})

    def _slimmed(self) -> Self:
        plain = self._plain()
        for name, value in self.__dict__.items():
            setattr(plain, name, value)
        object.__setattr__(self, "__dict__", plain.__dict__)
        object.__setattr__(self, "__pydantic_fields_set__", self._all_fields)
        return self


def as_tuple(value: object) -> object:
    """Return a JSON list as the tuple that frozen models hold; anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value


class LongTuple:
    """Marks a tuple that may be long: like ``as_tuple``, but JSON text becomes its items one by one.

    A function that is called before validation would be handed all of them at once, as dictionaries.
    """

    @staticmethod
    def __get_pydantic_core_schema__(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        items = handler(source)
        return json_or_python_schema(items, no_info_before_validator_function(as_tuple, items))


def _path_from_json(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a path must be a string")
    # A name as it is has no backslash, and the quoted form of one always has: the two cannot be taken for each other.
    return check_path(from_wire(value) if value.startswith('"') and "\\" in value else value)


def _instant(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
WorkspacePath = Annotated[str, PlainValidator(_path_from_json), PlainSerializer(to_wire, when_used="json")]
WorkspacePaths = Annotated[
    tuple[WorkspacePath, ...], BeforeValidator(as_tuple), PlainSerializer(all_to_wire, when_used="json")
]
Instant = Annotated[datetime, BeforeValidator(_instant)]
