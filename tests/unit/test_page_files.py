"""The page's files: complete, named by their content, and free of whatever would break its policy or trust data as markup."""

import re

import pytest

from components.serve.page.assets import FILES, page_files

TEXTS = sorted(path for path, file in page_files().items() if file.content_type.startswith("text/"))
SCRIPTS = [path for path in TEXTS if path.endswith(".js")]


def text_of(path: str) -> str:
    return page_files()[path].data.decode()


def test_every_file_of_the_folder_is_served_with_its_kind():
    served = {path.removeprefix("/page/") for path in page_files()} - {"/"}
    assert served | {"index.html"} == {file.name for file in FILES.iterdir()}
    assert page_files()["/"].content_type == "text/html; charset=utf-8"
    assert {page_files()[path].content_type for path in SCRIPTS} == {"text/javascript; charset=utf-8"}


def test_the_tag_of_a_file_follows_its_bytes_alone():
    tags = {path: file.etag for path, file in page_files().items()}
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', tag) for tag in tags.values())
    assert len(set(tags.values())) == len(tags)
    page_files.cache_clear()
    assert {path: file.etag for path, file in page_files().items()} == tags


@pytest.mark.parametrize("path", TEXTS)
def test_nothing_comes_from_another_site(path):
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", text_of(path))
    assert "@import" not in text_of(path)


def test_whatever_the_page_names_is_there():
    named = re.findall(r'(?:src|href)="(/page/[^"]+)"', text_of("/"))
    for path in SCRIPTS:
        named += [f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text_of(path))]
    assert len(named) > 10
    assert set(named) <= set(page_files())


def test_the_page_has_no_inline_script_or_style():
    page = text_of("/")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", page)


@pytest.mark.parametrize("path", SCRIPTS)
def test_data_never_becomes_markup(path):
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function|srcdoc", text_of(path))


def test_the_key_is_kept_in_the_session_alone():
    assert not any(word in text_of(path) for path in SCRIPTS for word in ("localStorage", "indexedDB", "document.cookie"))


def test_ids_that_scripts_ask_for_are_in_the_page():
    ids = set(re.findall(r'\bid="([^"]+)"', text_of("/")))
    asked = {name for path in SCRIPTS for name in re.findall(r'byId\("([^"]+)"\)', text_of(path))}
    assert asked <= ids
