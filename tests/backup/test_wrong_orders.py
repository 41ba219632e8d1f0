"""Backups and restores asked for the wrong way: nothing is lost, nobody comes back, and the message says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backup.books import filled
from tests.books import a_book
from tests.cli.commands import answer, run
from touchbook.cli.exits import FAILED, WRONG_USE
from touchbook.errors import CustomerUnknown, KeyDestroyed


@pytest.fixture
def data(tmp_path: Path) -> Path:
    filled(tmp_path / "data")
    return tmp_path / "data"


def backed_up(data: Path, name: str = "backup", *more: Any) -> Path:
    answer("backup", data.parent / name, "--data", data, *more)
    return data.parent / name


def erase(data: Path, who: str, **more: Any) -> None:
    answer("erase", who, "--yes", "--data", data, **more)


def test_a_master_key_in_the_folder_for_the_keyring_stays_there(data: Path, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (data / "master.key").rename(tmp_path / "safe" / "master.key")
    key = (tmp_path / "safe" / "master.key").read_bytes()
    env = {"TOUCHBOOK_MASTER_KEY": str(tmp_path / "safe" / "master.key")}

    made = answer("backup", tmp_path / "backup", "--data", data, "--keys", tmp_path / "safe", env=env)

    assert (tmp_path / "safe" / "master.key").read_bytes() == key
    assert list(made["keys"]) == ["keyring.sqlite"], "only what was asked for is of the backup"
    answer("backup", tmp_path / "b", "--data", data, "--keys", tmp_path / "s", "--with-master-key", env=env)
    assert (tmp_path / "s" / "master.key").read_bytes() == key


def test_another_master_key_in_the_folder_for_the_keyring_is_not_replaced(data: Path, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe" / "master.key").write_text("another installation's")

    refused = run(
        "backup", tmp_path / "backup", "--data", data, "--keys", tmp_path / "safe", "--with-master-key"
    )

    assert (refused.exit_code, "no other master.key" in refused.stderr) == (FAILED, True)
    assert (tmp_path / "safe" / "master.key").read_text() == "another installation's"


def test_the_keyring_of_another_backup_is_not_replaced(data: Path, tmp_path: Path) -> None:
    first = backed_up(data, "first", "--keys", tmp_path / "safe")
    keyring = (tmp_path / "safe" / "keyring.sqlite").read_bytes()

    refused = run("backup", tmp_path / "second", "--data", data, "--keys", tmp_path / "safe")

    assert (refused.exit_code, "name another directory" in refused.stderr) == (FAILED, True)
    assert (tmp_path / "safe" / "keyring.sqlite").read_bytes() == keyring
    master = data / "master.key"
    restored = ("--data", tmp_path / "new", "--keys", tmp_path / "safe", "--master-key", master)
    assert answer("restore", first, *restored)["position"] == "j1.5"


def test_a_backup_cut_short_is_repeated_over_the_keyring_it_left(data: Path, tmp_path: Path) -> None:
    made = backed_up(data, "backup", "--keys", tmp_path / "safe")
    (made / "manifest.json").unlink()  # as if it had been killed before it wrote that

    backed_up(data, "backup", "--keys", tmp_path / "safe")

    assert (made / "manifest.json").exists()


def test_keys_apart_are_apart(data: Path, tmp_path: Path) -> None:
    refused = run("backup", tmp_path / "backup", "--data", data, "--keys", tmp_path / "backup")

    assert (refused.exit_code, "another directory for the keyring" in refused.stderr) == (FAILED, True)
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("into", ["data", "data/nightly", "data/a/b"])
def test_a_backup_inside_of_the_data_directory_is_refused(data: Path, tmp_path: Path, into: str) -> None:
    before = sorted(data.iterdir())

    apart = run("backup", tmp_path / "backup", "--data", data, "--keys", tmp_path / into)
    whole = run("backup", tmp_path / into, "--data", data)

    for refused in (apart, whole):
        assert refused.exit_code == FAILED
        assert f"{tmp_path / into}: expected a directory outside of the data directory" in refused.stderr
    assert sorted(data.iterdir()) == before
    assert not (tmp_path / "backup").exists()


def test_a_link_does_not_hide_where_a_backup_would_lie(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)

    refused = run("backup", tmp_path / "link" / "nightly", "--data", data)

    assert (refused.exit_code, "outside of the data directory" in refused.stderr) == (FAILED, True)


def test_a_restore_into_the_backup_itself_is_refused(data: Path) -> None:
    made = backed_up(data, "backup", "--with-master-key")

    refused = run("restore", made, "--data", made / "new")

    assert (refused.exit_code, "expected a directory outside of the backup" in refused.stderr) == (
        FAILED,
        True,
    )
    assert not (made / "new").exists()


def test_a_file_where_a_directory_should_be_is_said_to_be_one(data: Path, tmp_path: Path) -> None:
    made = backed_up(data, "backup", "--with-master-key")
    file = tmp_path / "notes.txt"
    file.write_text("milk\n")

    for refused in (run("backup", file, "--data", data), run("restore", made, "--data", file)):
        assert refused.exit_code == FAILED
        assert f"{file}: expected a directory, not a file; name another directory" in refused.stderr
    assert file.read_text() == "milk\n"


def test_a_master_key_that_is_not_there_is_said_to_be_missing_and_where_to_put_it(
    data: Path, tmp_path: Path
) -> None:
    (data / "master.key").rename(tmp_path / "kept")

    for command in (
        ("digest",),
        ("serve", "--port", 0),
        ("backup", tmp_path / "backup", "--with-master-key"),
    ):
        refused = run(*command, "--data", data)
        assert refused.exit_code == FAILED
        assert f"{data / 'master.key'}: there is no such file" in refused.stderr
        assert "--master-key, TOUCHBOOK_MASTER_KEY" in refused.stderr
    assert not (data / "master.key").exists()
    assert not (tmp_path / "backup").exists()
    assert answer("digest", "--data", data, env={"TOUCHBOOK_MASTER_KEY": str(tmp_path / "kept")})


def test_a_file_that_is_no_master_key_and_another_master_key_are_told_apart(data: Path) -> None:
    (data / "master.key").write_text("not a key")
    assert "it holds no master key, which is 64 hexadecimal digits" in run("digest", "--data", data).stderr

    (data / "master.key").write_text("ab" * 32)
    assert "does not open this keyring" in run("digest", "--data", data).stderr


def test_a_restore_without_its_master_key_says_so_before_it_copies_anything(
    data: Path, tmp_path: Path
) -> None:
    refused = run(
        "restore", backed_up(data), "--data", tmp_path / "new", "--master-key", tmp_path / "nowhere"
    )

    assert (refused.exit_code, "there is no file" in refused.stderr) == (WRONG_USE, True)
    assert not (tmp_path / "new").exists()


def test_a_restore_says_where_its_master_key_is_to_be_from_now_on(data: Path, tmp_path: Path) -> None:
    told = run("restore", backed_up(data), "--data", tmp_path / "new", "--master-key", data / "master.key")

    assert told.exit_code == 0
    assert f"copy it to {tmp_path / 'new' / 'master.key'}" in told.stderr


def test_keys_that_were_put_elsewhere_are_asked_for(data: Path, tmp_path: Path) -> None:
    made = backed_up(data, "backup", "--keys", tmp_path / "safe")

    refused = run("restore", made, "--data", tmp_path / "new", "--master-key", data / "master.key")

    assert (refused.exit_code, "name the place with --keys" in refused.stderr) == (FAILED, True)


@pytest.mark.parametrize("manifest", ["", "[]", "null", '{"format": 1', '{"format": 99}'])
def test_a_manifest_that_was_changed_is_refused(data: Path, tmp_path: Path, manifest: str) -> None:
    made = backed_up(data, "backup", "--with-master-key")
    (made / "manifest.json").write_text(manifest)

    refused = run("restore", made, "--data", tmp_path / "new")

    assert (refused.exit_code, "cannot be restored" in refused.stderr) == (FAILED, True)


def test_an_old_copy_of_the_list_is_refused_unless_that_is_known(data: Path, tmp_path: Path) -> None:
    erase(data, "user_id:p1")
    old = (data / "destroyed-keys.txt").read_text()
    erase(data, "user_id:p2")
    made = backed_up(data, "backup", "--with-master-key")
    (tmp_path / "old.txt").write_text(old)
    restore = ("restore", made, "--data", tmp_path / "new", "--destroyed", tmp_path / "old.txt")

    refused = run(*restore)

    assert (refused.exit_code, "does not name 1 keys" in refused.stderr) == (FAILED, True)
    assert answer(*restore, "--without-destroyed")["destroyed_keys"] == 2, "the keyring knew the other"


def test_the_list_of_another_installation_is_refused(data: Path, tmp_path: Path) -> None:
    filled(tmp_path / "other")
    erase(data, "user_id:p1")
    made = backed_up(data, "backup", "--with-master-key")
    theirs = tmp_path / "other" / "destroyed-keys.txt"

    refused = run("restore", made, "--data", tmp_path / "new", "--destroyed", theirs)

    assert (refused.exit_code, "another's" in refused.stderr) == (FAILED, True)


def test_what_is_no_list_is_refused_before_anything_is_copied(data: Path, tmp_path: Path) -> None:
    made = backed_up(data, "backup", "--with-master-key")
    (tmp_path / "notes.txt").write_text("milk\n")

    refused = run("restore", made, "--data", tmp_path / "new", "--destroyed", tmp_path / "notes.txt")

    assert (refused.exit_code, "name the list itself" in refused.stderr) == (FAILED, True)
    assert not (tmp_path / "new").exists()


def test_a_place_of_the_settings_where_no_list_is_yet_takes_over_that_of_before(
    data: Path, tmp_path: Path
) -> None:
    made = backed_up(data, "backup", "--with-master-key")
    erase(data, "user_id:p2")
    env = {"TOUCHBOOK_DESTROYED_KEYS": str(tmp_path / "elsewhere.txt")}

    told = answer("restore", made, "--data", tmp_path / "new", env=env)

    assert told["destroyed_keys"] == 1
    with a_book(tmp_path / "new", destroyed_keys=tmp_path / "elsewhere.txt") as book:
        with pytest.raises(KeyDestroyed):
            book.journal.open(book.journal.read()[2])
        with pytest.raises(CustomerUnknown):
            book.customers.find("user_id:p2")


def test_a_restore_repeated_after_its_list_was_copied_keeps_the_list(data: Path, tmp_path: Path) -> None:
    erase(data, "user_id:p1")
    made = backed_up(data, "backup", "--with-master-key")
    moved = tmp_path / "list.txt"
    (data / "destroyed-keys.txt").rename(moved)
    data.rename(tmp_path / "lost")
    (tmp_path / "wrong.key").write_text("ab" * 32)
    restore = ("restore", made, "--data", data)
    wrong = ("--master-key", tmp_path / "wrong.key", "--destroyed", moved)

    assert run(*restore, *wrong).exit_code == FAILED
    assert answer(*restore)["destroyed_keys"] == 1, "the list lies where it was before, by now"
    assert (data / "destroyed-keys.txt").read_text() == moved.read_text()
