from __future__ import annotations

import pytest

from privacy.deidentify import profile as module
from privacy.deidentify.errors import ProfileError
from privacy.deidentify.profile import EDITION, Action, load_profile, read_table


@pytest.mark.parametrize(
    ("tag", "action"),
    [
        (0x0010_0010, Action.EMPTY),
        (0x0010_0020, Action.EMPTY_OR_REPLACE),
        (0x0008_0018, Action.UID),
        (0x0010_1010, Action.REMOVE),
        (0x0008_0021, Action.REMOVE_OR_REPLACE),
        (0x0008_1140, Action.REMOVE_EMPTY_OR_UID),
        (0x0008_0022, Action.REMOVE_OR_EMPTY),
        (0x0009_1001, Action.REMOVE),  # private
        (0x5012_0030, Action.REMOVE),  # curves
        (0x6002_3000, Action.REMOVE),  # overlay data
        (0x6002_4000, Action.REMOVE),  # overlay comments
        (0x0028_0010, None),
        (0x0008_0016, None),
    ],
)
def test_what_the_table_says(tag: int, action: Action | None) -> None:
    assert load_profile().action(tag) is action


def test_the_edition_is_recorded_and_has_not_drifted() -> None:
    profile = load_profile()
    assert profile.edition == EDITION == "2026c"
    assert profile.source.startswith("dicom-anonymizer 2.1.")
    assert len(profile.sha256) == 64
    # A new release with other rows must be looked at, not taken.
    assert len(profile.actions) == 652
    assert len(profile.repeating) == 3
    counts = {action: 0 for action in Action}
    for action in profile.actions.values():
        counts[action] += 1
    assert all(counts.values())
    assert counts[Action.REMOVE] > 400


def test_the_engine_is_not_imported() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from privacy.deidentify.profile import load_profile; load_profile();"
        "print([name for name in sys.modules if name.startswith('dicomanonymizer')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "text",
    ["", "D_TAGS = [(1, 2)]", "D_TAGS = open('x')", "D_TAGS = [1]", "(", "D_TAGS = [(0x10,)]"],
)
def test_a_broken_table_is_refused(text: str) -> None:
    with pytest.raises(ProfileError, match="2026c"):
        read_table(text)


def test_a_table_that_contradicts_itself_is_refused() -> None:
    names = list(module._NAMES)
    text = "\n".join(f"{name} = [(0x10, 0x10)]" for name in names)
    with pytest.raises(ProfileError, match="contradicts"):
        read_table(text)


def test_a_missing_distribution_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package_here")
    with pytest.raises(ProfileError, match="pip install"):
        load_profile.__wrapped__()
