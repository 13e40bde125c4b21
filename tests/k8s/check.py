"""Holds what is about to be applied to the policies: `kubectl kustomize ... | python -m tests.k8s.check`. Ends with 1 where one is broken.

Secrets are not asked about, since kind renders throwaway ones.
"""

import sys
from collections.abc import Sequence

import yaml

from tests.k8s import gateway_policies, policies
from tests.k8s.workloads import LOADER, Document


def broken(documents: Sequence[Document]) -> list[str]:
    """A line for each thing that breaks a policy."""
    every = (*policies.POLICIES, *gateway_policies.POLICIES)
    return [f"{policy.__name__}: {what}" for policy in every for what in policy(documents)]


def main() -> None:
    """The command."""
    lines = broken([one for one in yaml.load_all(sys.stdin, LOADER) if one])
    print("\n".join(lines) or "every policy holds")
    raise SystemExit(1 if lines else 0)


if __name__ == "__main__":
    main()
