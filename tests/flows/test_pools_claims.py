"""Whose entry counts: a real Prefect server, whose unique names decide, and a store in which entries lie by content."""

import contextvars
import threading
import uuid

import pytest
from prefect import flow
from prefect.states import Completed, Running

from components.errors import BadParams, StoreFailed
from components.objects import FolderStore
from flows.pools import claims
from flows.pools.claims import Claim, Refused
from flows.pools.handed import Damaged, Shelf, shared_url

COMMIT = "c" * 40


@pytest.fixture
def at_server(client, monkeypatch):
    """This process's Prefect settings point to the session's server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: str(client.api_url)}):
        yield client


@flow(name="retrain-stand-in")
def stand_in():
    """Only created, never run."""


@pytest.fixture
def retrain(at_server):
    """A retraining that runs, by its name."""
    run = at_server.create_flow_run(stand_in, state=Running())
    return claims.retrain_id_of(str(run.id), COMMIT)


def end(client, retrain_id):
    client.set_flow_run_state(claims.flow_run_of(retrain_id), Completed(), force=True)


def claim_of(entry, run="one", stage="finetune"):
    return Claim(stage, entry, f"account of {run}", run)


def test_the_first_claim_counts_and_the_same_entry_again_is_simply_the_same(retrain):
    assert claims.accepted(retrain, "finetune") is None
    assert claims.claim(retrain, claim_of("a", "one")) == claim_of("a", "one")
    assert claims.claim(retrain, claim_of("a", "two")) == claim_of("a", "one")
    assert claims.claim(retrain, claim_of("b", "two", "score")) == claim_of("b", "two", "score")
    assert claims.accepted(retrain, "finetune") == claim_of("a", "one")


def test_a_late_twin_with_another_entry_is_refused_and_told_who_was_first(retrain):
    claims.claim(retrain, claim_of("a" * 64, "one"))
    with pytest.raises(Refused, match=r"finetune: flow run one was first, with the entry a{12}\. This run's b{12} is another and is ref"):
        claims.claim(retrain, claim_of("b" * 64, "two"))
    assert claims.accepted(retrain, "finetune") == claim_of("a" * 64, "one")


def test_of_many_at_once_one_is_first(retrain):
    begin, outcomes = threading.Barrier(8), []

    def hand_back(number):
        begin.wait()
        try:
            outcomes.append(claims.claim(retrain, claim_of(f"{number}" * 64, f"run-{number}")))
        except Refused:
            outcomes.append(None)

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(hand_back, number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [one for one in outcomes if one is not None]
    assert len(outcomes) == 8
    assert accepted == [claims.accepted(retrain, "finetune")]


def test_nobody_hands_back_to_a_retraining_that_is_over(at_server, retrain):
    claims.claim(retrain, claim_of("a"))
    claims.withdraw(retrain, ["finetune", "score"])
    assert claims.accepted(retrain, "finetune") is None
    end(at_server, retrain)
    with pytest.raises(Refused, match=r"the retraining .* is over"):
        claims.claim(retrain, claim_of("b"))
    with pytest.raises(Refused, match=r"the retraining .* is over"):
        claims.claim(claims.retrain_id_of(str(uuid.uuid4()), COMMIT), claim_of("b"))


def test_claims_of_retrainings_that_were_killed_are_swept_and_no_others(at_server, retrain):
    gone = claims.retrain_id_of(str(at_server.create_flow_run(stand_in, state=Running()).id), COMMIT)
    claims.claim(retrain, claim_of("a"))
    claims.claim(gone, claim_of("a", stage="Stage With An Odd Name"))
    end(at_server, gone)
    claims.sweep()
    assert claims.accepted(gone, "Stage With An Odd Name") is None
    assert claims.accepted(retrain, "finetune") == claim_of("a")


def test_a_server_that_is_away_is_told(retrain, monkeypatch):
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    away = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(away), pytest.raises(StoreFailed, match="Prefect does not answer"):
        claims.accepted(retrain, "finetune")


def test_what_is_handed_over_is_found_by_its_digest_and_altered_bytes_are_refused(tmp_path):
    shelf = Shelf(FolderStore(tmp_path), FolderStore(tmp_path), "r")
    digest = shelf.put("finetune", {"cmd": "vitrine run finetune", "outs": []})
    assert (tmp_path / "handed" / "r" / "finetune" / f"{digest}.json").exists()
    assert shelf.get("finetune", digest) == {"cmd": "vitrine run finetune", "outs": []}
    assert shelf.put("finetune", {"cmd": "vitrine run finetune", "outs": []}) == digest
    (tmp_path / "handed" / "r" / "finetune" / f"{digest}.json").write_text("{}")
    with pytest.raises(Damaged, match="was altered"):
        shelf.get("finetune", digest)
    shelf.clear()
    with pytest.raises(Damaged, match="is not in the work cache"):
        shelf.get("finetune", digest)


def test_a_work_cache_inside_the_workspace_is_refused_since_no_clone_shares_it():
    assert shared_url("s3://shop/cache") == "s3://shop/cache"
    assert shared_url("/shared/cache") == "/shared/cache"
    with pytest.raises(BadParams, match=r"cache\.url = '\.vitrine/cache' lies inside each clone"):
        shared_url(".vitrine/cache")
