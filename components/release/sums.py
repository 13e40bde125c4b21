"""Sums of whole numbers by user, from which ratio metrics and their variance follow. N = rows, U = users, C = columns."""

from collections.abc import Sequence

import numpy as np

from components.release.evidence import EMPTY, Sample
from components.release.keys import Hashes, Keys, roomy


class UserSums:
    """Columns of whole numbers by user: eight bytes each, and 12 for the user's own key. Sums do not depend on the order of rows."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._column = {name: place for place, name in enumerate(columns)}
        self._keys = Keys()
        self._sum_UC = np.zeros((0, len(columns)), np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def users(self, user_N: Hashes) -> np.ndarray:
        """(N,): the number of each user, who is here from now on."""
        number_N, _ = self._keys.add(user_N)
        self._sum_UC = roomy(self._sum_UC, len(self._keys))
        return number_N

    def add(self, number_N: np.ndarray, **column_N: np.ndarray | int) -> None:
        """Adds each row's values to its user's sums."""
        if not len(number_N):
            return
        order_N = np.argsort(number_N, kind="stable")
        starts = np.flatnonzero(np.diff(number_N[order_N], prepend=-1))
        users = number_N[order_N][starts]
        for name, values in column_N.items():
            values_N = np.broadcast_to(np.asarray(values, np.int64), number_N.shape)[order_N]
            self._sum_UC[users, self._column[name]] += np.add.reduceat(values_N, starts)

    def of(self, name: str) -> np.ndarray:
        """int64 (U,): the column."""
        return self._sum_UC[: len(self), self._column[name]]

    def sample(self, x: str, y: str, is_in_U: np.ndarray | None = None) -> Sample:
        """The users with some y, of those marked. Exact until a sum passes 2^53."""
        x_U, y_U = self.of(x), self.of(y)
        x_U, y_U = (x_U, y_U) if is_in_U is None else (x_U[is_in_U], y_U[is_in_U])
        num_users = int(np.count_nonzero(y_U))
        if not num_users:
            return EMPTY
        sums = (x_U.sum(), y_U.sum(), x_U @ x_U, x_U @ y_U, y_U @ y_U)
        return Sample(num_users, *map(float, sums))
