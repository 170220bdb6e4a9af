import pytest

from srgan_tf.evaluation.external_results import find_external_results
from srgan_tf.system.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Makes empty files; they are found by their names."""

    def make(*names):
        for name in names:
            path = tmp_path / "made" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "made"

    return make


@pytest.mark.parametrize(
    "name, file",
    [
        ("baby", "baby.png"),
        ("baby", "baby_x4.png"),
        ("baby", "babyx4.bmp"),
        ("baby", "baby_x4_SR.png"),
        ("baby", "baby_SRF_4_theirs.png"),
        ("baby", "baby-Theirs.jpg"),
        ("baby_HR", "baby_SR.png"),
        ("img_001_SRF_4_HR", "img_001_SRF_4_theirs.png"),
        ("a/baby", "a/baby.png"),
        ("x4", "x4.png"),
    ],
)
def test_names_that_belong_together(folder, name, file):
    assert find_external_results(folder(file), "theirs", [name]) == {name: folder() / file}


def test_what_looks_like_an_ending_may_belong_to_the_name(folder):
    made = folder("fox1_theirs.png", "fox2_theirs.png")
    assert find_external_results(made, "theirs", ["fox1", "fox2"])["fox1"] == made / "fox1_theirs.png"
    with pytest.raises(UserError, match="no image of theirs for fox3; add it"):
        find_external_results(made, "theirs", ["fox3"])


def test_no_file_is_taken_for_two_images(folder):
    made = folder("baby_x4_SR.png")
    with pytest.raises(UserError, match="baby_x4_SR.png: is all that theirs has for baby_x2 and baby_x4"):
        find_external_results(made, "theirs", ["baby_x2", "baby_x4"])


def test_a_folder_of_many_systems(folder):
    # As the archive of SelfExSR has them, the originals among them.
    systems = ("HR", "LR", "SRCNN", "Own")
    made = folder(*(f"img_00{number}_SRF_4_{system}.png" for number in (1, 2) for system in systems))
    names = ["img_001", "img_002"]
    assert find_external_results(made, "srcnn", names)["img_002"].name == "img_002_SRF_4_SRCNN.png"
    assert find_external_results(made, "Own", names)["img_001"].name == "img_001_SRF_4_Own.png"
    with pytest.raises(UserError, match="img_001_SRF_4_HR.png and .*img_001_SRF_4_LR.png: either could be DRCN's"):
        find_external_results(made, "DRCN", names)


def test_the_folder_of_the_set_is_preferred(folder):
    made = folder("Set5/baby.png", "Set14/baby.png", "baby.png")
    assert find_external_results(made, "theirs", ["baby"], "set5")["baby"] == made / "Set5" / "baby.png"
    assert find_external_results(made, "theirs", ["baby"], "other")["baby"] == made / "baby.png"


def test_nothing_is_needed_for_a_picture_that_is_left_out(folder):
    made = folder("a.png")
    assert find_external_results(made, "theirs", "ab", is_left_out=lambda name: name == "b") == {"a": made / "a.png"}
    with pytest.raises(UserError, match="no image of theirs for c; add it"):
        find_external_results(made, "theirs", "abc", is_left_out=lambda name: name == "b")


def test_missing_pictures_are_named(folder):
    made = folder("a.png", "g.png")
    with pytest.raises(UserError) as caught:
        find_external_results(made, "theirs", list("abcdef"))
    expected = f"{made}: no image of theirs for b, c, d and 2 more; add them or give another folder"
    assert str(caught.value) == expected
    with pytest.raises(UserError, match="none: no such folder"):
        find_external_results(made / "none", "theirs", ["a"])
