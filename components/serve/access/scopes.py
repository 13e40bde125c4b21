"""Which scope an address needs."""

from components.serve.access.keys import Scope

API = "/v1/"
READING = frozenset(("GET", "HEAD", "OPTIONS"))
ASKING = frozenset(("similar", "score", "embed"))  # they take a body and change nothing
CHANGING = frozenset(("items", "events"))


def group_of(path: str) -> str:
    """`similar` for `/v1/similar` and all below it; the empty name for what lies elsewhere."""
    return path[len(API) :].partition("/")[0] if path.startswith(API) else ""


def needed(method: str, path: str) -> Scope:
    """The scope for a request: `admin` for any that is not known to be harmless."""
    if method in READING or (group := group_of(path)) in ASKING:
        return "read"
    return "write" if group in CHANGING else "admin"
