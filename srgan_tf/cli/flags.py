"""Makes command-line flags of the fields of a settings class."""

import dataclasses
import math
import os
import re
import sys
import textwrap
from typing import Any

from absl import flags

from srgan_tf.system.errors import UserError

AUTO = "auto"
_BYTES = {"": 1, "b": 1} | {  # of a size's unit
    prefix + ending: base**power
    for power, prefix in enumerate("kmgt", 1)
    for ending, base in (("", 1024), ("ib", 1024), ("b", 1000))
}


def setting(
    default: Any, help: str, *, choices=(), many=False, lower=None, upper=None, size=False, modes=(), rest=False
):
    """One field of a settings class.

    Args:
        default: Its value if the flag is not given.
        help: What it does, with its unit.
        choices: The values that it may have.
        many: Whether the flag may be given more than once.
        lower: The smallest number allowed.
        upper: The largest number allowed.
        size: Whether it is a number of bytes, which may be written as 2GiB or 500MB.
        modes: Those that use it, if not all do.
        rest: Whether, once the flag is given, the words without a flag are its values too, as a shell makes of `*`.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "many": many,
        "lower": lower,
        "upper": upper,
        "size": size,
        "modes": tuple(modes),
        "rest": rest,
    }
    return dataclasses.field(default=default, metadata=metadata)


def parse(settings_class, argv):
    """Reads the command line.

    Args:
        settings_class: `TrainSettings` or `EvaluateSettings`.
        argv: `sys.argv`.

    Returns:
        An instance of `settings_class`. Prints the help and exits with status 0 on `--help`.

    Raises:
        UserError: An unknown flag, a value of the wrong type, empty or out of range, or a stray argument.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt()
    for field in dataclasses.fields(settings_class):
        _define(field, values)
    flags.DEFINE_bool("help", False, "print this page", short_name="h", flag_values=values)
    try:
        stray = values(argv)[1:]
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())} (--help lists the flags)") from None
    if values.help:
        print(help_page(settings_class, argv[0]))
        sys.exit(0)
    rest = [field for field in dataclasses.fields(settings_class) if field.metadata["rest"]]
    if rest and values[rest[0].name].present:
        setattr(values, rest[0].name, [*getattr(values, rest[0].name), *stray])
        stray = []
    if stray:
        raise UserError(
            f"stray argument {stray[0]!r}: settings are given as --name=value, in quotes where a value has spaces or *"
            " (--help lists them)"
        )
    given = {}
    for field in dataclasses.fields(settings_class):
        value = getattr(values, field.name)
        if field.metadata["many"]:
            value = tuple(map(_expand, value))
        elif isinstance(value, str):
            if not value and values[field.name].present:
                raise UserError(f"--{field.name} is given without a value; leave it out or give one")
            value = _expand(value)
        given[field.name] = value
    return settings_class(**given)


def _expand(text):
    """`~/FILE` and `NAME=~/FILE` with the home folder, which a shell expands only at the start of a word."""
    name, equals, path = text.rpartition("=")
    return name + equals + os.path.expanduser(path)


class _Finite(flags.FloatParser):
    """Reads a number, but neither NaN nor infinity."""

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
        size = int(float(found[1]) * _BYTES[found[2]])
        if size < self.lower:
            raise ValueError(f"{size} bytes, must be {self.lower} or more")
        return size

    def flag_type(self):
        return "size"


class _NumberOrAuto(flags.ArgumentParser):
    """Reads `auto` or a number of the wanted kind."""

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
            parser = {int: flags.IntegerParser, float: _Finite}[field.type](extra["lower"], extra["upper"])
        if default == AUTO:
            parser = _NumberOrAuto(parser)
        flags.DEFINE(parser, name, default, extra["help"], flag_values=values, serializer=flags.ArgumentSerializer())
    else:
        flags.DEFINE_string(name, default, extra["help"], flag_values=values)


def help_page(settings_class, script):
    """The text of `--help`: what the script does, then each flag with its default and its choices, by mode."""
    what, examples = settings_class.__doc__.split("\n", maxsplit=1)
    lines = [what, "", f"usage: python {script} [--flag=value ...]", textwrap.indent(textwrap.dedent(examples), "  ")]
    modes = ()
    for field in dataclasses.fields(settings_class):
        if field.metadata["modes"] != modes:
            modes = field.metadata["modes"]
            lines += ["", f"with --mode={' or '.join(modes)}:" if modes else "with every mode:"]
        shown = "on" if field.default is True else "off" if field.default is False else field.default
        shown = "none" if shown in ("", ()) else f"{shown:g}" if isinstance(shown, float) else shown
        choices = ", ".join(filter(None, field.metadata["choices"]))
        choices = f" One of: {choices}." if choices else ""
        text = f"{field.metadata['help']}.{choices} Default: {shown}"
        lines.append(f"  --{field.name}")
        lines += textwrap.wrap(text, 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
