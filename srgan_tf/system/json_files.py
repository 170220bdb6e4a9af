"""Reads JSON files of the user's, and checks their types."""

import json
import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from srgan_tf.system.bounded import TEXT_BYTES, read_bounded
from srgan_tf.system.errors import file_errors


def read_json(path: Path | str, shape: Any, what: str, advice: str = "", most: int = TEXT_BYTES) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.
        shape: The type of its content, see `check_shape`.
        what: The message if it is damaged or of another type, such as "damaged".
        advice: What to do about it.
        most: Largest size, bytes.

    Raises:
        UserError: It cannot be read, or is of another type; the message says where.
    """
    with file_errors(path, what, advice=advice):
        content = json.loads(read_bounded(path, most))
        check_shape(content, shape)
    return content


def check_shape(value: Any, shape: Any, place: str = "") -> None:
    """Checks a value that was read from JSON against a type.

    Args:
        value: The value.
        shape: `bool`, `int`, `float` (a finite number), `str`, `None`, `list`, `dict`, `Any`; `list[...]`, `dict[str,
            ...]`, unions and `Literal`s; or a `TypedDict`: an object with these keys and maybe others.
        place: Its place in the file, for the message.

    Raises:
        ValueError: It is of another type.
    """
    if shape is Any:
        return
    if is_typeddict(shape):
        _check_object(value, shape, place)
    elif get_origin(shape) in (Union, types.UnionType):
        if not any(_fits(value, each, place) for each in get_args(shape)):
            raise _other_type(value, shape, place)
    elif get_origin(shape) in (list, dict):
        _check_items(value, shape, place)
    elif not _is_a(value, shape):
        raise _other_type(value, shape, place)


def _check_object(value, shape, place):
    check_shape(value, dict, place)
    for key, each in get_type_hints(shape).items():
        if key in value:
            check_shape(value[key], each, f"{place}.{key}")
        elif key in shape.__required_keys__:
            raise ValueError(f"{key!r} is missing{place and f' in {place}'}")


def _check_items(value, shape, place):
    check_shape(value, get_origin(shape), place)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        check_shape(item, get_args(shape)[-1], f"{place}[{key!r}]")


def _is_a(value, shape):
    if get_origin(shape) is Literal:
        return any(type(value) is type(each) and value == each for each in get_args(shape))
    if shape is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return value is None if shape is None else type(value) is shape


def _fits(value, shape, place):
    try:
        check_shape(value, shape, place)
    except ValueError:
        return False
    return True


def _other_type(value, shape, place):
    shown = repr(value) if not isinstance(value, list | dict) else type(value).__name__
    return ValueError(f"{place.lstrip('.') or 'it'} is {shown[:40]}, not {_name(shape)}")


def _name(shape):
    if get_origin(shape) is Literal:
        return " or ".join(map(repr, get_args(shape)))
    return shape.__name__ if isinstance(shape, type) else str(shape)
