"""Atomic files."""

import errno

import pytest

from segttt.errors import ResourceError
from segttt.io.files import (
    replace_atomically,
    replace_folder,
    require_space,
    write_bytes,
    write_text,
    write_together,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_arrive_in_new_folders(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "größer\n")
    write_bytes(tmp_path / "a" / "c.bin", b"\0\1")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "größer\n".encode()
    assert names(tmp_path / "a") == ["b.txt", "c.bin"]


def write_half(path, error):
    with replace_atomically(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffixes[-2:] == path.suffixes[-2:]
        temporary.write_bytes(b"half")
        raise error


def test_the_old_file_stays_where_writing_fails(tmp_path):
    path = tmp_path / "scan.nii.gz"
    write_bytes(path, b"old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path, KeyboardInterrupt())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["scan.nii.gz"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_full_disk_is_named(tmp_path, code):
    path = tmp_path / "model.safetensors"
    with pytest.raises(ResourceError, match=r"model\.safetensors: cannot be written"):
        write_half(path, OSError(code, "refused"))
    assert names(tmp_path) == []


def test_an_error_of_the_disk_tells_the_bytes(tmp_path):
    words = r"refused\)\. It takes up to 3\.0 KiB; \d+\.\d [KMG]iB are free there\. Free some space"
    with (
        pytest.raises(ResourceError, match=words),
        replace_atomically(tmp_path / "a", 3072),
    ):
        raise OSError(errno.ENOSPC, "refused")
    with pytest.raises(ResourceError, match=r"refused\)\. Free some"):
        write_half(tmp_path / "a", OSError(errno.EACCES, "refused"))
    with pytest.raises(ResourceError, match=r"x will take about 1024\.0 GiB, but only .* free"):
        require_space(tmp_path, 2**40, "x")


def test_texts_that_belong_together(tmp_path, monkeypatch):
    first, last = tmp_path / "first", tmp_path / "last"
    write_together({first: "1", last: "1"})
    inode = last.stat().st_ino
    write_together({first: "1", last: "1"})
    assert last.stat().st_ino == inode
    seen = []
    replace = type(first).replace

    def watched(self, target):
        seen.append((target.name, last.exists(), len(names(tmp_path))))
        return replace(self, target)

    monkeypatch.setattr(type(first), "replace", watched)
    write_together({first: "2", last: "2"})
    assert seen == [("first", False, 3), ("last", False, 2)]
    assert (first.read_text(), last.read_text()) == ("2", "2")


def test_texts_that_belong_together_stay_where_one_does_not_fit(tmp_path, monkeypatch):
    first, last = tmp_path / "first", tmp_path / "last"
    write_together({first: "1", last: "1"})
    honest = type(first).write_bytes

    def full(self, content):
        if content == b"22":
            raise OSError(errno.ENOSPC, "full")
        return honest(self, content)

    monkeypatch.setattr(type(first), "write_bytes", full)
    with pytest.raises(ResourceError, match="first"):
        write_together({first: "22", last: "2"})
    assert (first.read_text(), last.read_text()) == ("1", "1")
    assert names(tmp_path) == ["first", "last"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(ResourceError, match="a"):
        write_text(tmp_path / "a" / "b.txt", "")


def test_a_name_of_255_bytes(tmp_path):
    path = tmp_path / ("n" * 248 + ".nii.gz")
    write_bytes(path, b"1")
    assert path.read_bytes() == b"1"


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    target = tmp_path / "case"
    target.mkdir()
    (target / "old").write_text("")
    with replace_folder(target) as place:
        (place / "new").write_text("1")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    with pytest.raises(ValueError, match="stop"), replace_folder(target) as place:
        raise ValueError("stop")
    assert names(tmp_path) == ["case"]
    assert names(target) == ["new"]
