"""The show: a first release, a better one that climbs, and a bad one that goes back, before simulated shoppers at a live gateway."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from components.contract import Config, bind, path_of, read_params
from components.evaluate.pictures import read_thumbnails
from components.objects import ObjectStore, open_store
from components.release import provenance
from components.release.changes import Desk
from components.release.component import Controller, Looked
from components.release.config import ReleaseConfig
from components.release.counts import Counter
from components.release.people import Person, now
from components.release.registry import Registry
from components.release.report.page import Story, seconds, write_page
from components.release.report.story import Chapter, Timing
from flows import faults, first, telling
from flows.faults import Fault
from flows.screen import Screen
from flows.shelves import Catalogue, compared, pictures
from flows.shop import Shop, Watch, lay_out, opened
from flows.shoppers import ShoppersConfig

PAGE = Path("reports/release.html")
FIRST, BETTER, BAD = "The first release", "A better model", "A bad release"
NOTE = "Simulated shoppers, and the ladder and judge of any shop, with shorter horizons and wider margins (`show:` in params.yaml)."


class ShowConfig(Config):
    """What the show is made of. `first`, `serve` and `release` are changes to params.yaml: for the first release's training, and for the
    shop that all of it takes place in. A release that has come to no end after `limit_s` is rolled back."""

    seed: int = Field(ge=0)
    folder: str
    num_shelves: int = Field(ge=0)
    limit_s: float = Field(gt=0)
    first: Mapping[str, Any]
    shoppers: ShoppersConfig
    serve: Mapping[str, Any]
    release: Mapping[str, Any]


@dataclass(frozen=True)
class Act:
    """A release of the show: what it is called, what is to be known of it, and where its bundle lies."""

    title: str
    about: str
    bundle: Path


@dataclass
class Stage:
    """Where the acts take place: the shop, its registry, and the screen that shows them."""

    shop: Shop
    watch: Watch
    cfg: ReleaseConfig
    screen: Screen
    limit_s: float
    desk: Desk = field(init=False)
    store: ObjectStore = field(init=False)

    def __post_init__(self) -> None:
        self.desk = Desk(Registry.open(str(self.shop.folder / self.cfg.registry)))
        self.store = open_store(str(self.shop.folder / self.shop.params["serve"]["store"]))

    def publish(self, act: Act) -> str:
        """The release's id in the shop's registry."""
        release_id = self.desk.registry.publish(act.bundle, provenance.gathered(act.bundle, Path(), now()))
        self.screen.say(f"{act.title}: {act.about} Published as {release_id[:12]}")
        return release_id

    def open_with(self, act: Act) -> str:
        """The first release, stable at once: there is nothing to compare it with."""
        release_id = self.publish(act)
        Person(self.desk).start(release_id, act.about, self.cfg)
        return release_id

    def climb(self, act: Act) -> str:
        """The release, after it was promoted or rolled back."""
        release_id = self.open_with(act)
        controller = Controller(release_id, self.desk, Counter(self.store, self.cfg.counting), self.cfg)
        until_s = time.monotonic() + self.limit_s
        while (looked := self._look(controller, act)).ended is None:
            if time.monotonic() > until_s:
                Person(self.desk).rollback(f"no end after {self.limit_s:g} s (show.limit_s)")
            time.sleep(self.cfg.ladder.look_s)
        self.watch.await_revision(looked.channel.revision)
        self.screen.stand(act.title, None, {})
        self.screen.say(f"{act.title}: {looked.ended}", "bold")
        return release_id

    def _look(self, controller: Controller, act: Act) -> Looked:
        self.watch.check()
        looked = controller.step()
        for entry in looked.made:
            if entry.kind in telling.MOVES:
                weight = "" if entry.weight_percent is None else f" {entry.weight_percent} %"
                self.screen.say(
                    f"{act.title}: {entry.kind} {', '.join(entry.platforms)}{weight}: {entry.reason}", STYLES.get(entry.kind, "")
                )
        words = {group: heard.finding.reason for group, heard in looked.heard.items()}
        self.screen.stand(f"{act.title}, {controller.release_id[:12]}", looked.channel.candidate, words)
        return looked

    def chapter(self, act: Act, release_id: str, stable_id: str | None, catalogue: Catalogue, num_shelves: int) -> Chapter:
        """What the page tells of the act."""
        entries = self.desk.log_of(release_id).read()
        timed = telling.timings(entries, self.store, self.cfg.groups, self.watch.reached)
        shelves = compared(self.store, stable_id, release_id, catalogue, num_shelves) if stable_id else []
        return telling.chapter(entries, act.title, act.about, timed, shelves)


STYLES = {"climb": "green", "return": "red", "promote": "green bold", "withdraw": "red bold", "rollback": "red bold", "hold": "yellow"}


def show(seed: int | None = None, kind: str | None = None) -> Sequence[Chapter]:
    """A chapter of each release, after reports/release.html tells of them and the endings are on the terminal. `kind` is the bad release's,
    which otherwise the seed chooses. Raises BadParams for an unknown kind, VitrineError where a part of the show ends before its time."""
    params = read_params()
    cfg = bind(ShowConfig, "show", params if seed is None else first.merged(params, {"show": {"seed": seed}}))
    folder = Path(cfg.folder)
    with Screen() as screen:
        begun = first.train(folder / "first", cfg.first, screen.say)
        fault = faults.make(faults.named(kind) if kind else faults.chosen(cfg.seed), params, folder / "bad", cfg.seed)
        acts = acts_of(begun, path_of("bundle", params), fault)
        place = lay_out(folder / "shop", params, changes_of(cfg, fault), begun)
        chapters = _played(place, acts, cfg, screen)
        _written(chapters, bind(ReleaseConfig, "release", place.params), path_of("images", params))
        for line in endings(chapters):
            screen.say(line, "bold")
        screen.say(f"the story is in {PAGE}")
    return chapters


def acts_of(begun: Path, good: Path, fault: Fault) -> list[Act]:
    """The three releases, in the order of their appearance."""
    return [
        Act(FIRST, "The line's own model, trained for less long.", begun),
        Act(BETTER, "The workspace's bundle, trained to its end.", good),
        Act(BAD, f"The same once more, but {fault.about}.", fault.bundle),
    ]


def changes_of(cfg: ShowConfig, fault: Fault) -> dict[str, Any]:
    """What the shop's params differ in. A slow release is played by the gateway, which is told its digest beforehand."""
    late = {"rehearsal": {"release": faults.digest(fault), "late_ms": fault.delay_ms}} if fault.delay_ms else {}
    return {"serve": first.merged(cfg.serve, late), "release": cfg.release, "show": {"seed": cfg.seed}}


def _played(place: Shop, acts: Sequence[Act], cfg: ShowConfig, screen: Screen) -> list[Chapter]:
    """The chapters, after the shop is closed: only then is everything that it logged in its store."""
    release = bind(ReleaseConfig, "release", place.params)
    screen.say("the gateway is starting, and copies the catalogue")
    with opened(place) as watch:
        stage = Stage(place, watch, release, screen, cfg.limit_s)
        screen.say(f"shoppers browse {place.url}, {cfg.shoppers.pages_per_s:g} pages a second")
        ids = [stage.open_with(acts[0]), *(stage.climb(act) for act in acts[1:])]
    catalogue, before = Catalogue.read(path_of("listings", read_params())), [None, *stable_before(stage.desk, ids)]
    return [stage.chapter(act, one, old, catalogue, cfg.num_shelves) for act, one, old in zip(acts, ids, before, strict=True)]


def stable_before(desk: Desk, ids: Sequence[str]) -> list[str]:
    """The release that each but the first was compared with: the last before it that was promoted."""
    found, stable = [], ids[0]
    for release_id in ids[1:]:
        found.append(stable)
        if telling.ending(desk.log_of(release_id).read())[0] == telling.PROMOTED:
            stable = release_id
    return found


def _written(chapters: Sequence[Chapter], release: ReleaseConfig, images: Path) -> None:
    wanted = pictures([shelf for chapter in chapters for shelf in chapter.shelves])
    write_page(PAGE, Story(chapters, release.ladder.rungs, read_thumbnails(images, wanted), [NOTE]))


def endings(chapters: Sequence[Chapter]) -> list[str]:
    """One line a release: promoted or rolled back, and why; of one that was returned also how long it took."""
    return ["; ".join([_ending(chapter), *(_clock(*one) for one in chapter.timings.items())]) for chapter in chapters]


def _ending(chapter: Chapter) -> str:
    return f"{chapter.release_id[:12]} {chapter.ending}: {chapter.title.lower()}; {chapter.reason}"


def _clock(group: str, timing: Timing) -> str:
    to_boundary, to_zero = seconds(timing.to_boundary_s), seconds(timing.to_weightless_s)
    return f"{group} {to_boundary} from the first bad answer to the boundary, {to_zero} on to weight 0"
