import json
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from srgan_tf.system.errors import UserError
from srgan_tf.system.json_files import check_shape, read_json


class Thing(TypedDict):
    name: str
    count: int
    weight: NotRequired[float]
    kind: NotRequired[Literal["a", "b"]]
    parts: NotRequired[list["Thing"]]


GOOD = {"name": "x", "count": 1}


@pytest.mark.parametrize(
    "content",
    [GOOD, GOOD | {"other": None}, GOOD | {"weight": 2}, GOOD | {"kind": "b"}, GOOD | {"parts": [GOOD, GOOD]}],
)
def test_what_fits_is_read(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8-sig")  # with the mark that editors put before it
    assert read_json(path, Thing, "damaged") == content


@pytest.mark.parametrize(
    "content, said",
    [
        ([], "it is list, not dict"),
        ({"name": "x"}, "'count' is missing"),
        (GOOD | {"count": True}, "count is True, not int"),
        (GOOD | {"count": 1.0}, "count is 1.0, not int"),
        (GOOD | {"weight": float("nan")}, "weight is nan, not float"),
        (GOOD | {"weight": 10**400}, "not float"),
        (GOOD | {"kind": "c"}, "kind is 'c', not 'a' or 'b'"),
        (GOOD | {"parts": [GOOD, GOOD | {"name": None}]}, r"parts\[1\].name is None, not str"),
        (GOOD | {"parts": [{}]}, r"'name' is missing in .parts\[0\]"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(tmp_path, content, said):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"a.json: damaged \(.*{said}.*\); mend it$") as raised:
        read_json(path, Thing, "damaged", "mend it")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\xff", b"[" * 100_000, b"1" * 5_000, b"\0"])
def test_what_is_no_json_is_one_line(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a.json: damaged \(") as raised:
        read_json(path, Any, "damaged")
    assert "\n" not in str(raised.value)


def test_unions_and_dicts():
    for value in (1, "x", None):
        check_shape({"a": value}, dict[str, int | str | None])
    with pytest.raises(ValueError, match=r"\['a'\] is 1.5, not int | str"):
        check_shape({"a": 1.5}, dict[str, int | str])
