"""What a rollback makes of the channel record. Pure."""

import dataclasses
from collections.abc import Iterable

from components.errors import Conflict
from components.release.channel import Channel, rolled_back


class Settled(Conflict):
    """The record needs no change for a rollback, or allows none: nothing is left to be written."""


def leaving(channel: Channel) -> str:
    """The release that a rollback would send back: the candidate, else the stable one. Raises Conflict where none came before it."""
    rolled_back(channel)
    return channel.candidate.release_id if channel.candidate else str(channel.stable)


def is_named(channel: Channel, release_id: str) -> bool:
    """Whether the release has any traffic by the record, or may come to it."""
    return release_id == channel.stable or (channel.candidate is not None and channel.candidate.release_id == release_id)


def without(channel: Channel, release_id: str) -> Channel:
    """The next record, in which the release has no traffic: not the candidate's, and not the stable one's. Raises Settled where it has none
    already, or where there is no earlier release to go back to."""
    if not is_named(channel, release_id):
        raise Settled(f"release {release_id[:12]} is neither stable nor under test")
    left = channel
    try:
        while is_named(left, release_id):
            left = rolled_back(left)
    except Conflict as error:
        raise Settled(str(error)) from None
    return dataclasses.replace(left, revision=channel.revision + 1)


def going_by(channel: Channel, left: Iterable[str]) -> Channel:
    """What a gateway goes by that has sent those releases back before the registry knows: the record without them, at its revision."""
    for release_id in left:
        try:
            channel = dataclasses.replace(without(channel, release_id), revision=channel.revision)
        except Settled:
            continue  # the registry knows already
    return channel
