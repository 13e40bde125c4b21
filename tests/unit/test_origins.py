"""An open gateway answers to its own name only, and takes nothing from pages of other sites."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadParams
from components.serve.access.caller import caller_of
from components.serve.access.gate import Public, check_once, key_from
from components.serve.access.origins import Hosts, Proxies, check_exposure, check_origin, is_loopback
from components.serve.problems import Refused

OWN = [b"localhost", b"localhost:8080", b"127.0.0.1:8080", b"127.1.2.3", b"[::1]:8080", b"LOCALHOST", b"shop.localhost:1", b"localhost."]
FOREIGN = [
    b"evil.example",
    b"127.0.0.1.evil.example",
    b"localhost.evil.example",
    b"evil-localhost",
    b"10.0.0.1",
    b"0.0.0.0",
    b"[::2]",
    b"",
    b"[::1",
    b"\xff",
]


@pytest.mark.parametrize("host", OWN)
def test_an_open_gateway_answers_to_loopback_names(host):
    Hosts([]).check(host, loopback_only=True)


@pytest.mark.parametrize("host", [*FOREIGN, None])
def test_an_open_gateway_answers_to_no_other_name(host):
    hosts = Hosts([])
    for _ in range(2):  # also when it has seen the name before
        with pytest.raises(Refused, match="origin_refused"):
            hosts.check(host, loopback_only=True)


@pytest.mark.parametrize("host", [b"Vitrine.Shop.example:443", b"10.0.0.7", b"[fd00::1]:80", b"localhost"])
def test_names_may_be_added(host):
    Hosts(["vitrine.shop.example", "10.0.0.7", "fd00::1"]).check(host, loopback_only=True)


def test_with_keys_any_name_will_do_unless_names_are_set():
    Hosts([]).check(b"anything.example", loopback_only=False)
    with pytest.raises(Refused):
        Hosts(["own.example"]).check(b"anything.example", loopback_only=False)


@given(st.lists(st.binary(max_size=20), min_size=300, max_size=400, unique=True))
def test_names_without_number_take_no_memory_without_end(names):
    hosts = Hosts([], max_known=50)
    for name in names:
        try:
            hosts.check(name, loopback_only=True)
        except Refused:
            continue
    assert len(hosts._known) <= 50


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"sec-fetch-site": b"same-origin", b"origin": b"http://localhost:8080", b"host": b"localhost:8080"},
        {b"sec-fetch-site": b"none"},
        {b"origin": b"http://LOCALHOST:80", b"host": b"localhost"},
        {b"origin": b"https://own.example", b"host": b"own.example:443"},
    ],
)
def test_the_gateways_own_page_may_post(headers):
    check_origin("POST", headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"same-site"},
        {b"sec-fetch-site": b""},
        {b"origin": b"null", b"host": b"localhost"},
        {b"origin": b"http://evil.example", b"host": b"localhost"},
        {b"origin": b"http://localhost:9999", b"host": b"localhost:8080"},
        {b"origin": b"http://localhost"},
        {b"sec-fetch-site": b"same-origin", b"origin": b"http://evil.example", b"host": b"localhost"},
    ],
)
def test_a_page_of_another_site_may_change_nothing(method, headers):
    with pytest.raises(Refused, match="origin_refused"):
        check_origin(method, headers)


def test_a_link_from_another_site_may_open_the_page():
    check_origin("GET", {b"sec-fetch-site": b"cross-site"})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_needs_no_keys(host):
    check_exposure(host, has_keys=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "vitrine.shop.example", "localhost.shop.example"])
def test_elsewhere_keys_are_needed(host):
    check_exposure(host, has_keys=True)
    with pytest.raises(BadParams, match="vitrine key create"):
        check_exposure(host, has_keys=False)


@given(st.text(max_size=40))
def test_any_text_is_loopback_or_not(text):
    assert is_loopback(text) in (True, False)


TRUSTED = Proxies(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.9", b"1.2.3.4", "198.51.100.9"),
        ("10.0.0.1", b"1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", b"6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("fd00::9", b"2001:db8::5", "2001:db8::5"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", b"not an address", "not an address"),
        ("", b"1.2.3.4", ""),
    ],
)
def test_only_trusted_proxies_say_who_called(peer, forwarded, client):
    assert TRUSTED.client_of(peer, forwarded) == client


def test_without_trusted_proxies_nobody_says_who_called():
    assert Proxies([]).client_of("10.0.0.1", b"1.2.3.4") == "10.0.0.1"


def test_a_header_that_decides_something_may_come_once():
    once, twice = [(b"host", b"a"), (b"accept", b"x"), (b"accept", b"y")], [(b"host", b"a"), (b"host", b"b")]
    check_once(once, dict(once))
    with pytest.raises(Refused, match="host came 2 times"):
        check_once(twice, dict(twice))


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({b"authorization": b"Bearer vk_a_b"}, "vk_a_b"),
        ({b"authorization": b"bearer  vk_a_b "}, "vk_a_b"),
        ({b"x-api-key": b"vk_a_b"}, "vk_a_b"),
        ({b"authorization": b"Basic eDp5", b"x-api-key": b"vk_a_b"}, "vk_a_b"),
        ({b"authorization": b"Bearer vk_c_d", b"x-api-key": b"vk_a_b"}, "vk_c_d"),
    ],
)
def test_a_key_comes_as_a_bearer_or_in_a_header_of_its_own(headers, key):
    assert key_from(headers) == key


@pytest.mark.parametrize("headers", [{}, {b"authorization": b"Bearer "}, {b"authorization": b"vk_a_b"}, {b"x-api-key": b""}])
def test_no_key_is_told_from_a_wrong_one(headers):
    with pytest.raises(Refused, match="key_missing"):
        key_from(headers)


def test_public_addresses_are_those_named_and_those_below():
    public = Public(["/", "/page/*", "/metrics"])
    assert [path in public for path in ("/", "/page/a.js", "/metrics", "/page", "/metricsandmore", "/v1/items")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def caller(**headers: str):
    return caller_of({f"x-{name}".replace("_", "-").encode(): value.encode() for name, value in headers.items()}, "r", None, frozenset())


def test_the_shop_says_who_its_user_is_and_no_log_line_shows_it():
    who = caller(platform="iOS", app_version="7.1.0-beta+3", user_id="u/48151623")
    assert (who.platform, who.app_version, who.user_id) == ("ios", "7.1.0-beta+3", "u/48151623")
    assert "48151623" not in repr(who)


def test_who_says_nothing_has_neither():
    assert (caller().platform, caller().app_version, caller().user_id) == (None, None, None)


@pytest.mark.parametrize(
    "header",
    [
        {"platform": "symbian"},
        {"platform": ""},
        {"app_version": "1 2"},
        {"app_version": "x" * 33},
        {"user_id": ""},
        {"user_id": "u" * 129},
        {"user_id": "ü"},
    ],
)
def test_a_header_that_breaks_its_rule_is_refused(header):
    with pytest.raises(Refused, match="invalid"):
        caller(**header)
