"""Which of many are asked about: those with the lowest hashes, so that nobody has to keep a list and a catalogue that grows changes few."""

import hashlib
import heapq
from collections.abc import Iterable


def lowest(names: Iterable[str], num: int, salt: str) -> list[str]:
    """`num` of the names, or all where there are fewer, in order of their hash, whatever order they came in. Another salt gives others.

    The names are distinct."""
    return heapq.nsmallest(num, names, key=lambda name: hash_of(salt, name))


def hash_of(salt: str, name: str) -> bytes:
    """16 bytes."""
    return hashlib.blake2b(f"{salt}\0{name}".encode(errors="surrogatepass"), digest_size=16).digest()
