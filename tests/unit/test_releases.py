"""Bundles kept by their digest."""

import json

import pytest

from components.errors import BadBundle, BadData
from components.manifest import verified_manifest, write_manifest
from components.releases import find, keep, stable_release


def bundle(folder, word="a", **facts):
    (folder / "index").mkdir(parents=True)
    (folder / "image.onnx").write_text(word)
    (folder / "index" / "items").write_text("items")
    write_manifest(folder, {"promote": True, **facts})
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_kept_bundle_is_found_by_its_digest_and_holds_every_file(tmp_path):
    made = bundle(tmp_path / "made")
    digest = keep(made, tmp_path / "releases")
    found = find(digest, tmp_path / "releases")
    assert found == tmp_path / "releases" / digest
    assert verified_manifest(found) == verified_manifest(made)
    assert names(tmp_path / "releases") == [digest]


def test_bundles_that_differ_in_one_byte_lie_beside_each_other_and_equal_ones_once(tmp_path):
    digests = [keep(bundle(tmp_path / str(n), word), tmp_path / "releases") for n, word in enumerate(["a", "b", "a"])]
    assert digests[0] == digests[2] != digests[1]
    assert names(tmp_path / "releases") == sorted(set(digests))


def test_a_bundle_kept_already_is_not_written_again(tmp_path):
    made = bundle(tmp_path / "made")
    digest = keep(made, tmp_path / "releases")
    inode = (tmp_path / "releases" / digest / "image.onnx").stat().st_ino
    assert keep(made, tmp_path / "releases") == digest
    assert (tmp_path / "releases" / digest / "image.onnx").stat().st_ino == inode


def test_an_altered_bundle_is_not_kept(tmp_path):
    made = bundle(tmp_path / "made")
    (made / "image.onnx").write_text("other")
    with pytest.raises(BadBundle, match=r"image\.onnx was altered"):
        keep(made, tmp_path / "releases")
    assert not (tmp_path / "releases").exists()


def test_a_folder_that_is_no_bundle_is_not_kept(tmp_path):
    with pytest.raises(BadBundle, match="is no bundle"):
        keep(tmp_path, tmp_path / "releases")


def test_no_digest_is_no_release(tmp_path):
    assert find(None, tmp_path) is None


def test_a_release_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with pytest.raises(BadBundle, match=r"0{12} .* is not in .*Copy that bundle to .*vitrine snapshot --stable FOLDER"):
        find("0" * 64, tmp_path)


@pytest.mark.parametrize("name", ["image.onnx", "manifest.json"])
def test_an_altered_release_is_refused_until_it_is_kept_again(tmp_path, name):
    made = bundle(tmp_path / "made")
    digest = keep(made, tmp_path / "releases")
    altered = tmp_path / "releases" / digest / name
    altered.write_text(altered.read_text() + " ")
    with pytest.raises(BadBundle, match=r"altered.*vitrine snapshot --stable FOLDER"):
        find(digest, tmp_path / "releases")
    keep(made, tmp_path / "releases")
    assert find(digest, tmp_path / "releases")


def test_a_copy_that_fails_half_way_leaves_nothing_under_the_digest(tmp_path):
    made = bundle(tmp_path / "made")
    (made / "dangling").symlink_to("nowhere")
    with pytest.raises(BadBundle, match="could not be copied"):
        keep(made, tmp_path / "releases")
    assert names(tmp_path / "releases") == []


def test_files_that_are_links_are_kept_as_files(tmp_path):
    """DVC may link a workspace's files to its cache, which may be emptied."""
    made = bundle(tmp_path / "made")
    (made / "image.onnx").rename(tmp_path / "cached")
    (made / "image.onnx").symlink_to(tmp_path / "cached")
    digest = keep(made, tmp_path / "releases")
    assert not (tmp_path / "releases" / digest / "image.onnx").is_symlink()


def test_a_bundle_that_failed_its_own_gates_is_kept_with_a_warning(tmp_path, caplog):
    keep(bundle(tmp_path / "made", promote=False), tmp_path / "releases")
    assert "was not promoted by its own evaluation" in caplog.text


def test_a_snapshot_names_the_stable_release_or_none(tmp_path):
    path = tmp_path / "snapshot.json"
    for digest in ("0" * 64, None):
        path.write_text(json.dumps({"stable_release": digest}))
        assert stable_release(path) == digest
    path.write_text("[]")
    with pytest.raises(BadData, match=r"is not a snapshot.*vitrine snapshot"):
        stable_release(path)
