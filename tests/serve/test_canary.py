"""Who is answered by the candidate, what is written down of it, and that a user meets neither a mixture nor the candidate's mistakes."""

import math
import time

import httpx
import pyarrow.parquet as pq
import pytest

from components import schema
from components.release.channel import arm_of, paused
from components.serve.canary.told import ChannelAnswer
from tests.serve.canary_shop import canary, headers, twin, until
from tests.serve.gateway import metric
from tests.serve.test_gateway import in_base64, photo
from tests.serve.test_hot_reload import with_other_weights

USERS = [f"user-{number}" for number in range(400)]


@pytest.fixture(scope="module")
def shared(finished, tmp_path_factory):
    with canary(finished, tmp_path_factory.mktemp("canary"), {"channel": {"linger_s": 600}}) as shop:
        yield shop


@pytest.fixture
def shop(shared):
    shared.begin_again()
    return shared


def canary_users(shop, users=USERS, platform="web"):
    """Those of the users whom the candidate answers; everybody else the stable release."""
    releases = {user: shop.similar(user, platform).json()["release_id"] for user in users}
    assert set(releases.values()) <= {shop.stable, shop.candidate}
    return {user for user, release in releases.items() if release == shop.candidate}


def test_without_a_candidate_everybody_gets_the_stable_release_and_nothing_is_written_down(shop):
    before = shop.channel()["answers"]
    assert canary_users(shop, USERS[:20]) == set()
    said = shop.channel()
    assert (said["stable"], said["candidate"], said["here"]["stable"], said["problem"]) == (shop.stable, None, shop.stable, None)
    assert said["answers"] == before


def test_the_share_of_users_in_the_canary_is_the_weight_of_their_platform(shop):
    shop.place.propose(shop.candidate)
    shop.place.climb(25, "web")
    shop.place.climb(50, "ios")
    shop.heeds()
    for platform, share in (("web", 0.25), ("ios", 0.5), ("android", 0.0)):
        found = len(canary_users(shop, platform=platform)) / len(USERS)
        assert abs(found - share) <= 5 * math.sqrt(share * (1 - share) / len(USERS)), platform
    assert canary_users(shop) == {user for user in USERS if arm_of(shop.place.record, "web", user) == "canary"}


def test_raising_the_weight_moves_nobody_out_and_returning_moves_everybody(shop):
    shop.place.propose(shop.candidate)
    before: set[str] = set()
    for weight in (5, 25, 50, 100):
        shop.place.climb(weight)
        shop.heeds()
        users = canary_users(shop)
        assert before <= users
        before = users
    assert before == set(USERS)
    shop.client.post("/v1/channel/rollback", json={"reason": "test"}).raise_for_status()
    assert canary_users(shop) == set()


@pytest.mark.proof
def test_encoder_index_and_calibrator_are_the_candidates_on_every_route_that_asks_a_model(finished, rival, tmp_path):
    with canary(finished, tmp_path, rival=rival) as shop:
        shop.place.propose(shop.candidate)
        shop.place.climb(50)
        shop.heeds()
        fingerprints = {row["release_id"]: row["fingerprint"] for row in shop.client.get("/v1/releases").json()["releases"]}
        assert fingerprints[shop.stable] != fingerprints[shop.candidate]
        item_id = shop.client.get("/v1/items", params={"limit": 1}).json()["items"][0]["item_id"]
        picture = {"picture_base64": in_base64(photo(3))}
        for user in USERS[:40]:
            whose = shop.candidate if arm_of(shop.place.record, "ios", user) == "canary" else shop.stable
            answers = [shop.similar(user, "ios"), shop.client.get("/v1/similar", params={"item_id": item_id}, headers=headers(user, "ios"))]
            for path, body in (("/v1/similar", picture), ("/v1/score", picture), ("/v1/score", {"item_id": item_id})):
                answers.append(shop.client.post(path, json=body, headers=headers(user, "ios")))
            answers.append(shop.client.post("/v1/similar/upload", files={"picture": photo(3)}, headers=headers(user, "ios")))
            for answer in answers:
                said = answer.json()
                assert (said["release_id"], said["fingerprint"]) == (whose, fingerprints[whose])
                assert (answer.headers["x-release-id"], answer.headers["x-fingerprint"]) == (whose, fingerprints[whose])


def test_a_refusal_names_the_release_of_the_users_arm(shop):
    shop.place.propose(shop.candidate)
    shop.place.climb(100)
    shop.heeds()
    refused = shop.client.get("/v1/similar", params={"item_id": "nowhere"}, headers=headers("user"))
    assert (refused.status_code, refused.headers["x-release-id"]) == (404, shop.candidate)


def test_who_names_a_release_or_a_fingerprint_or_no_user_is_outside_the_canary(shop):
    shop.place.propose(shop.candidate)
    shop.place.climb(100)
    fingerprint = shop.heeds() and shop.client.get("/v1/releases").json()["releases"][0]["fingerprint"]
    before = shop.channel()["answers"]
    assert shop.similar("user", release=shop.stable).json()["release_id"] == shop.stable
    assert shop.similar("user", fingerprint=fingerprint).json()["release_id"] == shop.stable
    assert shop.channel()["answers"] == before
    assert shop.similar(None).json()["release_id"] == shop.stable
    assert shop.client.get("/v1/similar", params={"text": "mug"}, headers={"x-user-id": "user"}).json()["release_id"] == shop.stable
    rows = shop.answers(2)
    assert rows["arm"].to_list() == ["stable", "stable"]
    assert (rows["user_id"].null_count(), rows["platform"].null_count()) == (1, 2)


def test_every_answer_is_written_down_within_seconds_as_the_judge_reads_it(shop):
    shop.place.propose(shop.candidate)
    shop.place.climb(50)
    shop.heeds()
    told, before = {}, shop.channel()["answers"]
    for user in USERS[:30]:
        answer = shop.similar(user, "android", k=5).json()
        told[answer["request_id"]] = (user, answer)
    rows = shop.answers(30)
    assert len(rows) == rows["request_id"].n_unique() == 30
    for row in rows.iter_rows(named=True):
        user, answer = told[row["request_id"]]
        assert row["release_id"] == answer["release_id"]
        assert (
            row["arm"] == ("canary" if answer["release_id"] == shop.candidate else "stable") == arm_of(shop.place.record, "android", user)
        )
        assert (row["route"], row["status"], row["num_hits"], row["platform"], row["weight_percent"]) == ("similar", 200, 5, "android", 50)
        assert (row["revision"], row["candidate_id"]) == (shop.place.record.revision, shop.candidate)
        assert row["hit_scores"] == pytest.approx([item["image_score"] for item in answer["items"]], abs=1e-3)
        assert 1 <= row["num_sellers"] <= 5
        assert 0 < row["latency_ms"] < 30_000
        assert row["overlap"] is row["score_shift"] is None
    for path in (shop.store / "answers").rglob("*.parquet"):
        assert pq.read_schema(path).equals(schema.ANSWERS)
        assert path.parent.name.startswith("dt=20")
    after = shop.channel()["answers"]
    assert (after["logged"] - before["logged"], after["dropped"]) == (30, 0)


def test_users_have_the_same_name_in_the_answers_as_in_the_events(shop):
    shop.place.propose(shop.candidate)
    shop.place.climb(50)
    shop.heeds()
    request_id = shop.similar("user-1").json()["request_id"]
    event = {"type": "exposure", "event_id": "e-1", "request_id": request_id, "surface": "similar", "platform": "web", "user_id": "user-1"}
    item = {"item_id": "x", "position": 0, "price": 1.0}
    taken = shop.client.post("/v1/events", json={"events": [event | {"source_item_id": "y", "release_id": shop.stable, "items": [item]}]})
    assert taken.json()["accepted"] == 1, taken.text
    (answer,) = shop.answers(1).iter_rows(named=True)
    shown = until(lambda: list((shop.store / "events/impressions").rglob("*.parquet")))
    (impression,) = pq.read_table(shown[0]).to_pylist()
    assert (answer["request_id"], answer["user_id"]) == (impression["request_id"], impression["user_id"])
    assert len(answer["user_id"]) == 64


def test_in_the_shadow_the_candidate_answers_too_and_no_user_sees_it(finished, rival, tmp_path):
    with canary(finished, tmp_path, {"channel": {"max_shadows": 100}}, rival) as shop:
        shop.place.propose(shop.candidate, share=1.0)
        shop.heeds()
        items = [row["item_id"] for row in shop.client.get("/v1/items", params={"limit": 20}).json()["items"]]
        for item_id in items:
            answer = shop.client.get("/v1/similar", params={"item_id": item_id}, headers=headers("user"))
            assert answer.json()["release_id"] == shop.stable
        rows = shop.answers(40)
        stable, shadow = (rows.filter(arm=arm).sort("request_id") for arm in ("stable", "shadow"))
        assert stable["request_id"].to_list() == shadow["request_id"].to_list()
        assert (set(stable["release_id"]), set(shadow["release_id"])) == ({shop.stable}, {shop.candidate})
        assert stable["user_id"].to_list() == shadow["user_id"].to_list()
        assert shadow["overlap"].is_between(0, 1).all()
        assert shadow["overlap"].min() < 1
        wanted = [sum(b) / len(b) - sum(a) / len(a) for a, b in zip(stable["hit_scores"], shadow["hit_scores"], strict=True)]
        assert shadow["score_shift"].to_list() == pytest.approx(wanted, abs=2e-3)
        assert (shadow["latency_ms"] > 0).all()


def test_a_shadow_of_the_same_model_gives_the_same_neighbours_and_only_its_share_is_asked(shop):
    shop.place.propose(shop.candidate, share=0.5)
    shop.heeds()
    for user in USERS[:100]:
        shop.similar(user)
    shop.answers(100 + 25)
    time.sleep(0.5)
    shadow = shop.answers(0).filter(arm="shadow")
    assert 25 <= len(shadow) <= 75
    assert set(shadow["overlap"]) == {1.0}
    assert set(shadow["score_shift"]) == {0.0}


def test_a_shadow_for_which_there_is_no_room_is_dropped_and_counted_and_users_do_not_wait_for_it(finished, tmp_path):
    with canary(finished, tmp_path, {"channel": {"max_shadows": 1}}) as shop:
        shop.place.propose(shop.candidate, share=1.0)
        shop.heeds()
        broken_search(shop, seconds=3.0)
        began = time.perf_counter()
        assert {shop.similar(user).status_code for user in USERS[:10]} == {200}
        assert time.perf_counter() - began < 3
        assert metric(shop.client, "vitrine_shadows_total", what="dropped") == 9


def broken_search(shop, error=None, seconds=0.0):
    """Has the candidate's index answer late, or not at all."""
    import asyncio

    generation = shop.live.gateway.router.served[shop.candidate].generation
    sound = generation.search

    async def search(*args, **more):
        await asyncio.sleep(seconds)
        if error:
            raise error
        return await sound(*args, **more)

    generation.search = search


@pytest.mark.parametrize("error", [RuntimeError("broken"), MemoryError()])
def test_a_candidate_that_fails_is_written_down_and_its_users_get_the_stable_release(shop, error):
    shop.place.propose(shop.candidate)
    shop.place.climb(100)
    shop.heeds()
    broken_search(shop, error)
    before = metric(shop.client, "vitrine_canary_fallbacks_total")
    answer = shop.similar("user")
    assert (answer.status_code, answer.json()["release_id"], answer.headers["x-release-id"]) == (200, shop.stable, shop.stable)
    assert answer.json()["items"]
    (row,) = shop.answers(1).iter_rows(named=True)
    assert (row["arm"], row["release_id"], row["status"], row["num_hits"]) == ("canary", shop.candidate, 500, 0)
    assert metric(shop.client, "vitrine_canary_fallbacks_total") == before + 1
    assert shop.client.post("/v1/score", json={"item_id": answer.json()["items"][0]["item_id"]}, headers=headers("user")).status_code == 200


def test_a_candidate_that_fails_in_its_shadow_is_written_down_and_nobody_meets_it(shop):
    shop.place.propose(shop.candidate, share=1.0)
    shop.heeds()
    broken_search(shop, RuntimeError("broken"))
    before = metric(shop.client, "vitrine_shadows_total", what="failed")
    assert shop.similar("user").json()["release_id"] == shop.stable
    rows = shop.answers(2)
    assert sorted(zip(rows["arm"], rows["status"], strict=True)) == [("shadow", 500), ("stable", 200)]
    assert metric(shop.client, "vitrine_shadows_total", what="failed") == before + 1


def test_what_a_user_did_wrong_is_no_failure_of_the_candidate(shop):
    shop.place.propose(shop.candidate)
    shop.place.climb(100)
    shop.heeds()
    before = metric(shop.client, "vitrine_canary_fallbacks_total")
    assert shop.client.get("/v1/similar", params={"item_id": "nowhere"}, headers=headers("user")).status_code == 404
    (row,) = shop.answers(1).iter_rows(named=True)
    assert (row["arm"], row["status"], row["num_hits"]) == ("canary", 404, 0)
    assert metric(shop.client, "vitrine_canary_fallbacks_total") == before


def test_a_caller_who_goes_away_is_written_down_as_such(finished, tmp_path):
    with canary(finished, tmp_path, {"access": {"disconnect_check_s": 0.05}}) as shop:
        shop.place.propose(shop.candidate)
        shop.place.climb(100)
        shop.heeds()
        broken_search(shop, seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            shop.client.get("/v1/similar", params={"text": "mug"}, headers=headers("user"), timeout=0.5)
        (row,) = shop.answers(1).iter_rows(named=True)
        assert (row["arm"], row["status"]) == ("canary", 499)


def test_an_answer_that_took_too_long_is_written_down_as_such(finished, tmp_path):
    with canary(finished, tmp_path, {"queries": {"timeout_s": 1.0}}) as shop:
        shop.place.propose(shop.candidate)
        shop.place.climb(100)
        shop.heeds()
        broken_search(shop, seconds=30)
        assert shop.similar("user").status_code == 504
        (row,) = shop.answers(1).iter_rows(named=True)
        assert (row["arm"], row["status"]) == ("canary", 504)


def test_a_candidate_that_does_not_give_its_golden_answers_gets_no_traffic_and_everybody_is_told_why(shop, finished, tmp_path):
    wrong = with_other_weights(finished / "bundle", tmp_path / "wrong")
    bad, before = shop.place.publish(twin(wrong, tmp_path / "bad")), shop.channel()["answers"]
    shop.place.propose(bad)
    shop.place.climb(100)
    here = until(lambda: "golden" in (here := shop.channel()["here"])["why_not"].get(bad, "") and here)
    assert (here["stable"], here["candidate"]) == (shop.stable, None)
    assert shop.similar("user").json()["release_id"] == shop.stable
    assert shop.channel()["answers"] == before  # a gateway that cannot serve both arms is no part of the experiment
    assert metric(shop.client, "vitrine_candidate_stands") == 0
    assert metric(shop.client, "vitrine_canary_turned_away_total") >= 1
    assert "golden" in shop.client.get("/metrics").text.partition("vitrine_candidate_stands{")[2].partition("\n")[0]


def test_what_is_done_by_hand_does_not_fight_the_record(shop):
    for path in (f"/v1/releases/{shop.stable}/activate", "/v1/releases/rollback"):
        refused = shop.client.post(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "channel_decides")
        assert "/v1/channel" in refused.json()["detail"]
    shop.place.propose(shop.candidate)
    shop.heeds()
    assert shop.client.delete(f"/v1/releases/{shop.candidate}").json()["code"] == "channel_decides"


def test_a_gateway_without_a_record_is_switched_by_hand_alone(finished, tmp_path):
    from tests.serve.gateway import running

    with running(finished, tmp_path, registry=tmp_path / "registry") as live:
        said = live.client.get("/v1/channel").json()
        assert (said["revision"], said["stable"], said["problem"], said["here"]["stable"]) == (0, None, None, live.gateway.router.active)
        refused = live.client.post("/v1/channel/rollback", json={"reason": "test"})
        assert (refused.status_code, refused.json()["code"]) == (409, "channel_conflict")
        assert live.client.post("/v1/releases/rollback").json()["code"] == "nothing_to_roll_back"


def test_pausing_and_going_on_ask_for_a_reason_and_reach_the_record(shop):
    shop.place.propose(shop.candidate)
    shop.heeds()
    assert shop.client.post("/v1/channel/pause", json={}).status_code == 422
    stopped = shop.client.post("/v1/channel/pause", json={"reason": "a sale"})
    assert ChannelAnswer.model_validate_json(stopped.text).candidate.paused == "a sale"
    assert shop.place.record.candidate.paused == "a sale"
    assert shop.client.post("/v1/channel/resume", json={"reason": "over"}).json()["candidate"]["paused"] is None
    shop.place.change(lambda record: paused(record, "again"))
    assert until(lambda: shop.channel()["candidate"]["paused"]) == "again"
