"""Which URLs of pictures are allowed: hosts on the list, https, and nothing that two readers could read in two ways."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.pictures.config import UrlsConfig
from components.serve.pictures.urls import Target, redirected, target_of
from components.serve.problems import Refused

LISTED = ["img.shop.example", "*.cdn.example", "münchen.example", "8.8.4.4", "2606:4700:4700::1111"]


def urls_config(**changes) -> UrlsConfig:
    made = {
        "enabled": True,
        "hosts": LISTED,
        "allow_http": False,
        "ports": [],
        "max_redirects": 3,
        "timeout_s": 2.0,
        "idle_timeout_s": 1.0,
        "min_kib_per_s": 1.0,
        "max_at_once": 4,
    }
    return UrlsConfig(**made | changes)


def refusal(url: str, **changes) -> str:
    with pytest.raises(Refused) as refused:
        target_of(url, urls_config(**changes))
    assert (refused.value.code, refused.value.kind.status) == ("picture_url_refused", 422)
    return refused.value.detail


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://img.shop.example/a.jpg", Target("https", "img.shop.example", 443, "/a.jpg")),
        ("HTTPS://IMG.Shop.Example./a%20b.jpg?size=1&x=%2F#part", Target("https", "img.shop.example", 443, "/a%20b.jpg?size=1&x=%2F")),
        ("https://img.shop.example", Target("https", "img.shop.example", 443, "/")),
        ("https://a.cdn.example:443/é", Target("https", "a.cdn.example", 443, "/%C3%A9")),
        ("https://x.y.cdn.example/a", Target("https", "x.y.cdn.example", 443, "/a")),
        ("https://MÜNCHEN.example/a", Target("https", "xn--mnchen-3ya.example", 443, "/a")),
        ("https://xn--mnchen-3ya.example/a", Target("https", "xn--mnchen-3ya.example", 443, "/a")),
        ("https://8.8.4.4/a", Target("https", "8.8.4.4", 443, "/a")),
        ("https://[2606:4700:4700:0::1111]/a", Target("https", "2606:4700:4700::1111", 443, "/a")),
    ],
)
def test_a_url_of_a_listed_host_is_read(url, target):
    assert target_of(url, urls_config()) == target


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/a",
        "https://img.shop.example.evil.example/",
        "https://evilcdn.example/",
        "https://cdn.example/",  # *.cdn.example is what lies below
        "https://img.shop.example@evil.example/",
        "https://user:pass@img.shop.example/",
        "https://evil.example#@img.shop.example/",
        "https://evil.example\\@img.shop.example/",
        "https://img.shop.example\\.evil.example/",
        "https://img.shop.example%2eevil.example/",
        "https://img.shop.example:8080/",
        "https://img.shop.example:0/",
        "https://img.shop.example:99999/",
        "https://img.shop.example:4a/",
        "https://img.shop.example\t/",
        "https://img.shop.example/\r\nHost: evil.example",
        " https://img.shop.example/",
        "//img.shop.example/a",
        "http://img.shop.example/a",
        "ftp://img.shop.example/a",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "gopher://img.shop.example/",
        "https:///a",
        "https://",
        "",
        "https://[::1]/",
        "https://[::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://127.0.0.1/",
        "https://8.8.8.8/",
        "https://0x8080404/",
        "https://134744068/",
        "https://8.8.1028/",
        "https://010.8.4.4/",
        "https://127.1/",
        "https://8.8.4.4.cdn.example.1/",
        "https://a..cdn.example/",
        "https://.cdn.example/",
        "https://" + "a" * 64 + ".cdn.example/",
        "https://img.shop.example/" + "a" * 2048,
        "https://img.shop.example，evil/",
        "https://ａ.evil.example/",
        "https://[img.shop.example]/",
    ],
)
def test_any_other_url_is_refused(url):
    detail = refusal(url)
    assert "cdn.example" not in detail  # what is allowed is not told
    assert "shop.example" not in detail


def test_addresses_in_odd_spellings_are_refused_even_under_a_suffix_that_would_hold_them():
    patterns = ["*.1", "*.0.1", "*.0x1", "*.4", "127.1", "2130706433"]
    for host in ("127.1", "0x7f.1", "0x7f.0.0.1", "2130706433", "a.0x1", "1.2.3.4"):
        cfg = urls_config().model_copy(update={"hosts": patterns})  # such patterns are not even taken
        with pytest.raises(Refused, match="picture_url_refused"):
            target_of(f"https://{host}/", cfg)


def test_http_and_other_ports_are_taken_where_they_are_allowed():
    assert target_of("http://img.shop.example/a", urls_config(allow_http=True)).port == 80
    assert target_of("https://img.shop.example:8443/a", urls_config(ports=[8443])).host_header == "img.shop.example:8443"
    refusal("https://img.shop.example:80/", allow_http=True)
    refusal("http://img.shop.example:443/", allow_http=True)


@pytest.mark.parametrize(
    "entry", ["*", "https://img.shop.example", "img.shop.example/", "a b", "", "*.", "img.*.example", "127.1", "10.0.0.0/8"]
)
def test_an_entry_of_the_list_that_can_match_nothing_is_an_error_at_the_start(entry):
    with pytest.raises(ValueError, match="hosts"):
        urls_config(hosts=[entry])


def test_nothing_is_allowed_by_an_empty_list():
    refusal("https://img.shop.example/", hosts=[])


HTTPS = Target("https", "img.shop.example", 443, "/a/b.jpg?x=1")


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/c", "/c"),
        ("c", "/a/c"),
        ("?y", "/a/b.jpg?y"),
        ("https://img.shop.example/d", "/d"),
        ("//img.shop.example/e", "/e"),
        ("", "/a/b.jpg?x=1"),
    ],
)
def test_a_redirect_is_read_from_where_it_came(location, path):
    assert redirected(HTTPS, location, urls_config()).path == path


@pytest.mark.parametrize(
    "location",
    ["https://evil.example/", "//evil.example/", "\\\\evil.example", "http://[::1]/", "https://10.0.0.1/", "http://img.shop.example/"],
)
def test_a_redirect_is_held_to_the_same_rules(location):
    with pytest.raises(Refused, match="picture_url_refused"):
        redirected(HTTPS, location, urls_config())


def test_a_redirect_from_https_to_http_is_refused_even_where_http_is_allowed():
    with pytest.raises(Refused, match="from https to http"):
        redirected(HTTPS, "http://img.shop.example/", urls_config(allow_http=True))
    from_http = Target("http", "img.shop.example", 80, "/")
    assert redirected(from_http, "https://img.shop.example/", urls_config(allow_http=True)).scheme == "https"


@given(st.text(alphabet=string.printable + "éß。．／：＠\u200b\u0130", max_size=60))
def test_whatever_is_written_the_target_is_a_listed_host_or_refused(text):
    for url in (text, f"https://{text}", f"https://img.shop.example{text}", f"https://{text}.cdn.example/"):
        try:
            target = target_of(url, urls_config())
        except Refused as refused:
            assert refused.code == "picture_url_refused"  # noqa: PT017
        else:
            allowed = {"img.shop.example", "xn--mnchen-3ya.example", "8.8.4.4", "2606:4700:4700::1111"}
            assert target.host in allowed or target.host.endswith(".cdn.example")
            assert target.host.isascii()
            assert target.path.isascii()
            assert not set(target.path) & set(" \r\n\\#")
