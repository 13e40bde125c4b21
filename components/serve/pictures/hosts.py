"""Names of hosts in one form, and which of them a list allows."""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

ENDS_IN_NUMBER = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)$")  # 127.1, 2130706433, 0x7f.1: read as addresses by some (WHATWG URL, 3.5)
NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
MAX_NAME_CHARS = 253


def host_name(text: str) -> str:
    """The host in lower case and ASCII (IDNA 2008 after UTS 46), an IPv6 address in its shortest form.

    An IPv4 address must stand there in its usual form, four plain numbers. Raises ValueError for what is no host.
    """
    name = text.lower().removesuffix(".")
    if ":" in name:
        return str(IPv6Address(name))
    name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")  # IDNAError is a ValueError
    if not NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS or (ENDS_IN_NUMBER.search(name) and address_in(name) is None):
        raise ValueError(f"{text!r} is no host")
    return name


def host_pattern(text: str) -> str:
    """An entry of the allow-list, `name`, `*.name` or an address, in the form that host_name() gives. Raises ValueError."""
    return f"*.{host_name(text[2:])}" if text.startswith("*.") else host_name(text)


def is_allowed(host: str, patterns: Sequence[str]) -> bool:
    """True where the list holds the name, or `*.suffix` of it; an address must be listed as it stands."""
    if address_in(host) is not None:
        return host in patterns
    return any(host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:])) for pattern in patterns)


def address_in(text: str) -> IPv4Address | IPv6Address | None:
    """The address that the text is, in its usual form, or None for a name."""
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(text)
        except AddressValueError:
            continue
    return None
