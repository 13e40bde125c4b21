"""Every series that is judged, as deviations from forecasts."""

from functools import reduce
from operator import add

import numpy as np

from monitoring.judging.offs import Deviations, Offs
from monitoring.judging.profile import profile
from monitoring.judging.steps import ROWS, is_component, is_mean


def deviations(offs: Offs, least: int, min_parts: int) -> Deviations:
    """The detectors' series, the steps of single features, and each segment's profile."""
    found = _singles(offs, [number for number, (name, _) in enumerate(offs.keys) if name != ROWS and not is_component(name)])
    by_segment: dict[str, list[int]] = {}
    for number, (name, segment) in enumerate(offs.keys):
        if is_mean(name):
            by_segment.setdefault(segment, []).append(number)
    profiles = (profile(offs, segment, numbers, least, min_parts) for segment, numbers in by_segment.items())
    return reduce(add, (one for one in profiles if one), found)


def _singles(offs: Offs, at: list[int]) -> Deviations:
    z_LS = offs.off_LK[:, at] / offs.spread_LK[:, at]
    return Deviations(
        keys=tuple(offs.keys[number] for number in at),
        value_S=offs.value_K[at],
        expected_S=offs.expected_K[at],
        spread_S=offs.spread_LK[0, at],
        z_S=z_LS[0],
        z_TS=offs.off_TLK[:, 0, at] / offs.without_TLK[:, 0, at],
        z_PS=z_LS[1:] * np.sign(z_LS[0]),
    )
