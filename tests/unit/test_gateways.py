"""What gateways say that they apply, and what that keeps from climbing."""

import datetime as dt

from components.release import channel as record
from components.release.gateways import Applied, ask, waited_for

STABLE, CANDIDATE = "a" * 64, "b" * 64
CHANNEL = record.proposed(record.first(record.EMPTY, STABLE), CANDIDATE, dt.datetime(2026, 1, 31, tzinfo=dt.UTC), 0.1, "x")


def answer(revision=2, candidate=CANDIDATE, why_not=None, problem=None):
    return {"revision": revision, "problem": problem, "here": {"stable": STABLE, "candidate": candidate, "why_not": why_not or {}}}


def asked(**answers):
    """What gateways named a, b ... say; an exception is raised."""

    def read(url, timeout_s):
        found = answers[url.removeprefix("http://").removesuffix("/v1/channel")]
        if isinstance(found, Exception):
            raise found
        return found

    return ask([f"http://{name}/" for name in answers], 1.0, read=read)


def test_a_gateway_that_has_it_all_keeps_nobody_waiting():
    (one,) = asked(a=answer())
    assert one == Applied("http://a/", 2, STABLE, CANDIDATE, {}, None)
    assert waited_for([one], CHANNEL) is None
    assert waited_for([], CHANNEL) is None


def test_a_gateway_without_the_candidate_or_behind_the_record_is_waited_for():
    refused = asked(a=answer(), b=answer(candidate=None, why_not={CANDIDATE: "its golden answers are wrong"}))
    assert waited_for(refused, CHANNEL) == "http://b/ has not let bbbbbbbbbbbb in: its golden answers are wrong"
    assert waited_for(asked(a=answer(revision=1)), CHANNEL) == "http://a/ goes by revision 1, not yet 2"
    assert waited_for(asked(a=answer(revision=3)), CHANNEL) is None


def test_a_gateway_that_cannot_be_reached_or_answers_nonsense_is_told_and_not_waited_for():
    found = asked(a=ConnectionRefusedError("nobody there"), b={"hello": "world"}, c=answer())
    assert [one.is_reachable for one in found] == [False, False, True]
    assert found[0].problem == "ConnectionRefusedError: nobody there"
    assert "KeyError" in (found[1].problem or "")
    assert waited_for(found, CHANNEL) is None
