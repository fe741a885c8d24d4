"""One candidate's way through the tuning: its turns, and why it is out."""

from dataclasses import dataclass
from statistics import median

from edgecnn.runtime.profile import Chosen, Purpose
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.estimates import Speed, speed
from edgecnn.tuning.measuring.turn import Turn


@dataclass(frozen=True)
class Trial:
    """The result of a candidate.

    `drop` is in points of top-1, by the bundle's proof; `speed` is None if it did not run; `out` says why it was not
    chosen, and is None for the last ones.
    """

    bundle: str
    digest: str
    setting: Setting
    drop: float
    speed: Speed | None
    out: str | None
    notes: tuple[str, ...]


class Contestant:
    """A candidate, and how it stands.

    Attributes:
        candidate: what runs.
        purpose: what is compared.
        drop: points of top-1 lost.
        proven: whether its self-test was replayed and holds.
        out: why it is out of the contest; None while it is in.
        turns: of the present stage on; those of several contestants that were opened together are of the same rounds.
    """

    def __init__(self, candidate: Candidate, purpose: Purpose) -> None:
        self.candidate = candidate
        self.purpose = purpose
        self.drop = 0.0
        self.out: str | None = None
        self.proven = False
        self.turns: list[Turn] = []
        self._earlier: list[Turn] = []
        self._speed: tuple[int, Speed] | None = None  # it takes a second to compute

    @property
    def ran(self) -> bool:
        """Whether there is anything to judge it by."""
        return bool(self.turns or self._earlier)

    def judge(self, drop: float, allowed: float) -> None:
        """Put it out where it has lost more of top-1 than is allowed."""
        self.drop = drop
        if drop > allowed + 1e-9:
            self.out = f"it costs {drop:.2f} points, {allowed:g} allowed"

    def note(self, *turns: Turn | None) -> None:
        """Add turns; where one failed, it is out."""
        self.turns += [turn for turn in turns if turn is not None]
        if self.candidate.failure is not None:
            self.out = f"failed: {self.candidate.failure}"
        elif not self.ran:
            self.out = "failed: it did not run"

    def prove(self) -> bool:
        """Replay its self-test; where that does not hold, it is out."""
        found = self.candidate.replay()
        if found is None:
            self.note()
        elif not found.holds:
            self.out = f"its self-test does not hold: {found.failures[0]}"
        self.proven = self.out is None
        return self.proven

    def restart(self) -> None:
        """Begin the rounds that are taken together; what was seen alone counts only until then."""
        self._earlier, self.turns, self._speed = self.turns, [], None

    def cost(self) -> float:
        """Return what is to be small: milliseconds of a run, or seconds an image."""
        turns = self.turns or self._earlier
        if self.purpose == "latency":
            return median(time for turn in turns for time in turn.times_ms)
        return sum(turn.seconds for turn in turns) / sum(turn.images for turn in turns)

    def costs(self) -> list[float]:
        """Return the same for each round that was taken beside the others."""
        if self.purpose == "latency":
            return [median(turn.times_ms) for turn in self.turns]
        return [turn.seconds / turn.images for turn in self.turns]

    def speed(self) -> Speed:
        """Summarise what was measured last."""
        turns = self.turns or self._earlier
        if self._speed is None or self._speed[0] != len(turns):
            self._speed = len(turns), speed(turns)
        return self._speed[1]

    def seconds_of_turn(self) -> float:
        """Return how long its last turn took."""
        return (self.turns or self._earlier)[-1].seconds if self.ran else 0.0

    def chosen(self) -> Chosen:
        """Return it as a profile writes it."""
        found = self.speed()
        figure = found.p50_ms if self.purpose == "latency" else found.images_per_s
        return Chosen(self.candidate.bundle.digest, self.candidate.setting, figure)

    def trial(self) -> Trial:
        """Return it as a report writes it."""
        bundle = self.candidate.bundle
        found = self.speed() if self.ran else None
        notes = self.candidate.notes
        return Trial(bundle.manifest.name, bundle.digest, self.candidate.setting, self.drop, found, self.out, notes)
