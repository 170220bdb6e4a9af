import dataclasses

import pytest

from srgan_tf.cli.flags import setting
from srgan_tf.cli.train import Settings
from srgan_tf.data.folders import PictureFile
from srgan_tf.system.errors import UserError
from srgan_tf.training import run_folder


@dataclasses.dataclass
class _Known:
    steps: int = setting("auto", "steps")
    seed: int = setting(0, "seed", lower=0)
    newer: str = "default"
    kind: str = setting("a", "kind", choices=("a", "b"))


def test_settings_round_trip(tmp_path):
    run_folder.write_settings(tmp_path / "new", {"steps": 3, "seed": 1}, {"device": "CPU"})
    found = run_folder.read_settings(tmp_path / "new", _Known)
    assert found == ({"steps": 3, "seed": 1, "newer": "default", "kind": "a"}, {"device": "CPU"})
    assert run_folder.read_settings(tmp_path / "none", _Known) == ({}, {})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"settings": {}}',
        "[]",
        '{"settings": [], "facts": {}}',
        '{"settings": {"seed": "1"}, "facts": {}}',
        '{"settings": {"steps": 1.5}, "facts": {}}',
        '{"settings": {"kind": "c"}, "facts": {}}',
        '{"settings": {"seed": -1}, "facts": {}}',
        '{"settings": {}, "facts": {"vgg_loss_weight": "1"}}',
        '{"settings": {}, "facts": {"photographs": 5}}',
        "\0",
    ],
)
def test_damaged_settings_are_named(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(UserError, match="settings.json: damaged") as error:
        run_folder.read_settings(tmp_path, _Known)
    assert "\n" not in str(error.value)


def test_settings_that_are_missing_beside_checkpoints_are_named(tmp_path):
    with pytest.raises(UserError, match="settings.json: missing, and the checkpoints need it; put it back, or give an"):
        run_folder.read_settings(tmp_path, _Known, required=True)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: a file is in the way"):
        run_folder.read_settings(tmp_path / "file", _Known)


def test_settings_of_another_version_are_refused_in_a_line(tmp_path):
    run_folder.write_settings(tmp_path, {"steps": 3, "patience": 5, "weight_decay": 0.0}, {})
    with pytest.raises(UserError, match="settings.json: is of another version .*--patience, --weight_decay") as error:
        run_folder.read_settings(tmp_path, _Known)
    assert "\n" not in str(error.value)


def test_only_some_settings_may_change(tmp_path):
    run_folder.refuse_changes(tmp_path, {"steps": 3, "seed": 0}, {"steps": 9, "seed": 0, "new": 1})
    with pytest.raises(UserError, match="--seed was 0 and is 1, --batch_size was 4 and is 8"):
        run_folder.refuse_changes(tmp_path, {"seed": 0, "batch_size": 4}, {"seed": 1, "batch_size": 8})


def test_a_setting_that_may_change_exists():
    assert run_folder.MUTABLE_ON_RESUME <= {field.name for field in dataclasses.fields(Settings)}


def test_fingerprint_tells_pictures_apart(tmp_path):
    one, other = PictureFile(tmp_path / "a.png", 3, 4), PictureFile(tmp_path / "b.png", 3, 4)
    assert run_folder.fingerprint([one, other]) == run_folder.fingerprint([one, other])
    assert len({run_folder.fingerprint(some) for some in ([one], [other], [one, other], [other, one])}) == 4
