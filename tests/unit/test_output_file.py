from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from reconciler.errors import UsageError
from reconciler.files import check_output, write_whole
from reconciler.installation import need_extra


@pytest.mark.parametrize("name", ["keys.yaml", "teams/api.yml"])
def test_a_declaration_is_never_written_over(name: str) -> None:
    with pytest.raises(UsageError, match=r"looks like a declaration, .* like report.html"):
        check_output(Path(name), example="report.html")


def test_a_link_to_a_declaration_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "k.json").symlink_to("keys.yaml")
    (tmp_path / "d.json").symlink_to("declared")
    for name in ("k.json", "d.json", "declared"):
        with pytest.raises(UsageError, match="a declaration, which is not overwritten"):
            check_output(tmp_path / name, example="x.json", declaration=tmp_path / "declared")
    check_output(tmp_path / "x.json", example="x.json", declaration=tmp_path / "declared")


@pytest.mark.parametrize("target", ["../outside", ".git/config"])
def test_a_link_out_of_the_repository_is_not_written_through(tmp_path: Path, target: str) -> None:
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    (tree / target).write_text("theirs")
    (tree / "x.json").symlink_to(target)
    with pytest.raises(UsageError, match="link out of its repository"):
        check_output(tree / "x.json", example="x.json")
    with pytest.raises(UsageError, match="link out of its repository"):
        write_whole(tree / "x.json", "ours")
    assert (tree / target).read_text() == "theirs"


@pytest.mark.parametrize("name", ["report.html", "-", "keys"])
def test_any_other_name_will_do(name: str) -> None:
    check_output(Path(name), example="report.html")


def test_a_folder_is_no_file_and_one_in_it_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        check_output(tmp_path, example="report.html")
    assert str(refused.value) == f"--out {tmp_path} is a folder; name a file in it, like {tmp_path}/report.html"


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old", "utf-8")
    before = file.stat().st_ino

    write_whole(file, "new: ü\n")

    assert file.read_text("utf-8") == "new: ü\n"
    assert file.stat().st_ino != before
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("mode", "before", "after"), [(None, None, 0o640), (None, 0o604, 0o604), (0o644, 0o600, 0o644)]
)
def test_a_file_is_for_whom_it_was_or_is_meant(
    tmp_path: Path, mode: int | None, before: int | None, after: int
) -> None:
    file = tmp_path / "naga.prom"
    if before is not None:
        file.touch()
        file.chmod(before)
    umask = os.umask(0o027)
    try:
        write_whole(file, "x", mode=mode)
    finally:
        os.umask(umask)

    assert stat.S_IMODE(file.stat().st_mode) == after


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "report.html"
    link.symlink_to("real/report.html")

    write_whole(link, "new")

    assert link.is_symlink()
    assert (tmp_path / "real/report.html").read_text("utf-8") == "new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text("utf-8")))
    reader.start()

    write_whole(pipe, "new")

    reader.join()
    assert got == ["new"]
    assert pipe.is_fifo()


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "report.html"
    file.write_text("old", "utf-8")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(UsageError, match=r"--out .*report\.html could not be written: No space left on device"):
        write_whole(file, "new")
    assert file.read_text("utf-8") == "old"
    assert [*tmp_path.iterdir()] == [file]


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="could not be written: No such file or directory"):
        write_whole(tmp_path / "missing" / "report.html", "new")


def test_a_library_that_is_missing_names_its_extra() -> None:
    need_extra("report", "json")

    with pytest.raises(UsageError, match=r"no_such_one and nor_this cannot be imported; install: .*\[report\]"):
        need_extra("report", "json", "no_such_one", "nor_this")
