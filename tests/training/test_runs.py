import pytest

from srgan_tf.data.folders import PictureFile
from srgan_tf.system.errors import UserError
from srgan_tf.training import runs


def test_settings_round_trip(tmp_path):
    runs.write_settings(tmp_path / "new", {"steps": 3, "seed": 0}, {"device": "CPU"})
    assert runs.read_settings(tmp_path / "new") == ({"steps": 3, "seed": 0}, {"device": "CPU"})
    assert runs.read_settings(tmp_path / "none") == ({}, {})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["settings.json"]


@pytest.mark.parametrize("content", ["", "{", '{"settings": {}}', "[]"])
def test_damaged_settings_are_named(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(UserError, match="settings.json: damaged"):
        runs.read_settings(tmp_path)


def test_only_some_settings_may_change(tmp_path):
    runs.refuse_changes(tmp_path, {"steps": 3, "seed": 0}, {"steps": 9, "seed": 0, "new": 1})
    with pytest.raises(UserError, match="--seed was 0 and is 1, --batch_size was 4 and is 8"):
        runs.refuse_changes(tmp_path, {"seed": 0, "batch_size": 4}, {"seed": 1, "batch_size": 8})
    before, now = ({"schedule": "plateau", "valid_every": every} for every in (5, 7))
    with pytest.raises(UserError, match="--valid_every was 5 and is 7"):
        runs.refuse_changes(tmp_path, before, now)
    runs.refuse_changes(tmp_path, before | {"schedule": "step"}, now | {"schedule": "step"})


def test_a_setting_that_may_change_exists():
    import dataclasses

    import config

    assert runs.FREE <= {field.name for field in dataclasses.fields(config.TrainSettings)}


def test_fingerprint_tells_pictures_apart(tmp_path):
    one, other = PictureFile(tmp_path / "a.png", 3, 4), PictureFile(tmp_path / "b.png", 3, 4)
    assert runs.fingerprint([one, other]) == runs.fingerprint([one, other])
    assert len({runs.fingerprint(some) for some in ([one], [other], [one, other], [other, one])}) == 4
