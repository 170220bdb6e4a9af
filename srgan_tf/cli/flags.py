"""Makes command-line flags of the fields of a settings class."""

import ast
import dataclasses
import inspect
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from srgan_tf.system.auto import AUTO
from srgan_tf.system.bounded import TEXT_BYTES
from srgan_tf.system.errors import UsageError

MOST = 10**9  # upper bound of numbers without one of their own
MAX_THREADS = 256
_MOST_BYTES = 2**60
_MAX_NAME = 255  # bytes of a file's name, limit of most systems
_BYTES = {"": 1, "b": 1} | {  # by unit of a size
    prefix + ending: base**power
    for power, prefix in enumerate("kmgt", 1)
    for ending, base in (("", 1024), ("ib", 1024), ("b", 1000))
}


def setting(
    default: Any,
    help: str,
    *,
    choices: Iterable[str] = (),
    many: bool = False,
    lower: float | None = None,
    upper: float | None = None,
    size: bool = False,
    positional: str = "",
    only_word: bool = False,
    required: bool = False,
    unless: Iterable[str] = (),
    once: bool = False,
) -> Any:
    """One field of a settings class.

    Args:
        default: The value if the flag is not given.
        help: The description, with its unit.
        choices: The allowed values.
        many: Whether the flag may be given more than once.
        lower: The smallest number allowed.
        upper: The largest number allowed; None: `MOST`.
        size: Whether it is a number of bytes, which may be written as 2GiB or 500MB.
        positional: The name in `--help` of the word that may be given instead of the flag, such as "INPUT". Words are
            assigned in the order of the fields whose flags are not given; a field that is `many` takes all that remain.
        only_word: Whether it can only be given as a word, not as a flag.
        required: Whether it must be given.
        unless: Flags that may be given instead; then it is not required and takes no word.
        once: Whether giving the flag twice is an error; else the last one counts.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "many": many,
        "lower": lower,
        "upper": upper,
        "size": size,
        "positional": positional,
        "only_word": only_word,
        "required": required,
        "unless": tuple(unless),
        "once": once or bool(positional and not many),
    }
    return dataclasses.field(default=default, metadata=metadata)


def parse(settings_class: type, argv: Sequence[str]) -> Any:
    """Reads a command line into an instance of `settings_class`; prints the help and exits with status 0 on `--help`.

    Args:
        settings_class: A frozen dataclass whose fields are made by `setting`.
        argv: The command, such as "srgan upscale", and the words behind it.

    Raises:
        UsageError: An unknown flag; a value of the wrong type, empty, out of range, missing or given twice; too many
            words.
    """
    fields = dataclasses.fields(settings_class)
    values = flags.FlagValues()
    values.set_gnu_getopt()
    for field in fields:
        _define(field, values)
    flags.DEFINE_bool("help", False, "print this page", short_name="h", flag_values=values)
    _check_flag_files(argv)
    try:
        words = values(argv)[1:]
        if values.help:
            print(help_page(settings_class, argv[0]))
            sys.exit(0)
        _take_words(fields, values, words, argv[0])
    except UnicodeDecodeError:
        files = " ".join(word for word in argv if word.lstrip("-").startswith("flagfile"))
        raise UsageError(f"{files}: not text; give a file with a flag a line, --name=value") from None
    except RecursionError:  # absl looks for a flag of a similar name
        raise UsageError("a flag with a very long name (--help lists the flags)") from None
    except (flags.Error, ValueError) as error:
        raise UsageError(f"{' '.join(str(error).split())} (--help lists the flags)") from None
    given = {field.name: _value(field, values[field.name]) for field in fields}
    for field in fields:
        if field.metadata["required"] and given[field.name] in ("", ()) and not _is_replaced(field, values):
            raise UsageError(f"{argv[0]} needs {' or '.join(_names(field))} (--help says more)")
    return settings_class(**given)


def _check_flag_files(argv):
    """Refuses large flag files, which absl would read completely."""
    for word in argv:
        name, _, path = word.lstrip("-").partition("=")
        if name == "flagfile" and os.path.isfile(path) and os.path.getsize(path) > TEXT_BYTES:
            raise UsageError(
                f"{path}: longer than {TEXT_BYTES >> 20} MiB; give a file with a flag a line, --name=value"
            )


def _is_replaced(field, values):
    return any(values[name].present for name in field.metadata["unless"])


def _names(field):
    """The ways to give a field: as a word, by its flag, or by one of `unless`."""
    extra = field.metadata
    words = [extra["positional"]] if extra["positional"] else []
    names = [] if extra["only_word"] else [field.name]
    return [*words, *(f"--{name}" for name in (*names, *extra["unless"]))]


def _take_words(fields, values, words, command):
    """Assigns the words without a flag to the positional fields."""
    takers = [field for field in fields if field.metadata["positional"]]
    words = list(words)
    for field in takers:
        flag = values[field.name]
        if flag.present and field.metadata["only_word"]:
            raise UsageError(f"unknown flag --{field.name}: give {field.metadata['positional']} without it")
        if flag.present or _is_replaced(field, values):
            continue
        taken = words if field.metadata["many"] else words[:1]
        words = words[len(taken) :]
        for word in taken:
            flag.parse(word)
    if words:
        names = " ".join(field.metadata["positional"] for field in takers)
        takes = f"{command} takes {names} and flags" if takers else f"{command} takes flags alone"
        raise UsageError(
            f"stray argument {words[0]!r}: {takes}, --name=value, in quotes where a value has spaces or * (--help lists"
            " them)"
        )


def _value(field, flag):
    """The value of a field from its flag."""
    if field.metadata["many"]:
        return tuple(_path(field, text) for text in flag.value)
    if not isinstance(flag.value, str):
        return flag.value
    if not flag.value and flag.present:
        raise UsageError(f"{_flag_name(field)} is given without a value; leave it out or give one")
    return _path(field, flag.value)


def _flag_name(field):
    return field.metadata["positional"] if field.metadata["only_word"] else f"--{field.name}"


def _path(field, text):
    """A text, which may be a path; refuses an impossible path.

    `~` is expanded in `~/FILE` and `NAME=~/FILE`; a shell does so only at the start of a word.
    """
    name, equals, path = text.rpartition("=")
    path = name + equals + os.path.expanduser(path)
    if "\0" in path:
        raise UsageError(f"{_flag_name(field)}={path}: has a null byte, which no name can have")
    longest = max(path.rpartition("=")[2].split(os.sep), key=lambda name: len(os.fsencode(name)))
    if (length := len(os.fsencode(longest))) > _MAX_NAME:
        raise UsageError(
            f"{_flag_name(field)}: the name {longest[:20]}... has {length} bytes; systems allow {_MAX_NAME}"
        )
    return path


def unless_auto(value: Any) -> Any:
    """The value of a flag, None if it was left at auto."""
    return None if value == AUTO else value


class _Finite(flags.FloatParser):
    """Reads a finite number."""

    def is_outside_bounds(self, value):
        return not math.isfinite(value) or super().is_outside_bounds(value)


class _Size(flags.ArgumentParser):
    """Reads a number of bytes: 2GiB, 500MB, 2000000000."""

    def __init__(self, lower):
        self.lower = lower

    def parse(self, argument):
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", str(argument).lower())
        if not found or found[2] not in _BYTES:
            raise ValueError("not a size such as 2GiB, 500MB or a number of bytes")
        size = float(found[1]) * _BYTES[found[2]]
        if size > _MOST_BYTES:
            raise ValueError(f"must be {_MOST_BYTES >> 40:,} TiB or less")
        if size < self.lower:
            raise ValueError(f"{int(size)} bytes, must be {self.lower} or more")
        return int(size)

    def flag_type(self):
        return "size"


class _NumberOrAuto(flags.ArgumentParser):
    """Reads `auto`, or a number by another parser."""

    def __init__(self, number):
        self.number = number

    def parse(self, argument):
        if argument == AUTO:
            return AUTO
        try:
            return self.number.parse(argument)
        except ValueError as error:
            raise ValueError(f"{error}, nor 'auto'") from None

    def flag_type(self):
        return f"{self.number.flag_type()} or auto"


def _define(field, values):
    name, default, extra = field.name, field.default, field.metadata
    if extra["many"]:
        flags.DEFINE_multi_string(name, list(default), extra["help"], flag_values=values)
    elif field.type is bool:
        flags.DEFINE_bool(name, default, extra["help"], flag_values=values)
    elif extra["choices"]:
        flags.DEFINE_enum(name, default, extra["choices"], extra["help"], flag_values=values)
    elif field.type in (int, float):
        if extra["size"]:
            parser = _Size(extra["lower"])
        else:
            parser = {int: flags.IntegerParser, float: _Finite}[field.type](extra["lower"], extra["upper"] or MOST)
        if default == AUTO:
            parser = _NumberOrAuto(parser)
        flags.DEFINE(parser, name, default, extra["help"], flag_values=values, serializer=flags.ArgumentSerializer())
    else:
        flags.DEFINE_string(name, default, extra["help"], flag_values=values)
    if extra["once"]:
        values[name].allow_overwrite = False


def help_page(settings_class: type, command: str) -> str:
    """The text of `--help`: the description of the command, then each flag with its default and its choices."""
    what, _, examples = _docstring(settings_class).partition("\n")
    fields = dataclasses.fields(settings_class)
    words = [_word(field) for field in fields if field.metadata["positional"]]
    lines = [what, "", " ".join([f"usage: {command}", *words, "[--flag=value ...]"])]
    lines += [textwrap.indent(textwrap.dedent(examples).rstrip(), "  "), ""]
    own = settings_class.__annotations__
    # Words first, and fields of base classes last.
    for field in sorted(fields, key=lambda field: (not field.metadata["positional"], field.name not in own)):
        lines.append(f"  {_flag_name(field)}")
        lines += textwrap.wrap(_description(field), 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _docstring(settings_class):
    """The docstring of a class, by its source if `python -OO` has removed it."""
    if sys.flags.optimize < 2:
        return settings_class.__doc__
    return ast.get_docstring(ast.parse(inspect.getsource(settings_class)).body[0], clean=False)


def _word(field):
    word = field.metadata["positional"] + (" ..." if field.metadata["many"] else "")
    return word if field.metadata["required"] else f"[{word}]"


def _description(field):
    """The description of a flag, its choices and its default."""
    texts = [field.metadata["help"]]
    if choices := ", ".join(filter(None, field.metadata["choices"])):
        texts.append(f"One of: {choices}")
    if others := " or ".join(f"--{name}" for name in field.metadata["unless"]):
        texts.append(f"Required, or {others}")
    else:
        texts.append("Required" if field.metadata["required"] else f"Default: {_default(field)}")
    return ". ".join(texts)


def _default(field):
    if field.type is bool:
        return "on" if field.default else "off"
    if field.default in ("", ()):
        return "none"
    if isinstance(field.default, tuple):
        return ", ".join(field.default)
    return f"{field.default:g}" if isinstance(field.default, float) else field.default
