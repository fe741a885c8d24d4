"""A candidate in tuning: its turns, and the reason for its rejection."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgecnn.runtime.profile import Chosen, Purpose
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.estimates import Speed, cost_ms, costs_ms, speed
from edgecnn.tuning.measuring.turn import Turn

_RANK = {"fp32": 0, "fp16": 1, "int8": 3}
_CASCADE_RANK = 2  # between its graphs


@dataclass(frozen=True)
class Trial:
    """The result of a candidate.

    `drop` is in percentage points of top-1, from the bundle's proof. `speed` is None if it did not run. `out` is the
    reason for its rejection; None for the finalists.
    """

    bundle: str
    digest: str
    setting: Setting
    drop: float
    speed: Speed | None
    out: str | None
    notes: tuple[str, ...]


class Contestant:
    """A candidate and its state in the search.

    Attributes:
        candidate: the bundle and setting.
        purpose: `latency` or `throughput`.
        drop: drop of the bundle, in percentage points of top-1.
        proven: whether its self-test passed.
        out: reason for its rejection; None while it is in the search.
        taken: all turns since the last `restart`; candidates that were opened together have turns of the same rounds.
        turns: the turns of the rounds that count; see `settle`.
    """

    def __init__(self, candidate: Candidate, purpose: Purpose) -> None:
        self.candidate = candidate
        self.purpose = purpose
        self.drop = 0.0
        self.out: str | None = None
        self.proven = False
        self.taken: list[Turn] = []
        self.turns: list[Turn] = []
        self._earlier: list[Turn] = []
        self._speed: Speed | None = None  # cached: computing it takes a second

    @property
    def precision(self) -> str:
        """The precision of the bundle: `fp32`, `fp16` or `int8`; of a cascade both, such as `int8+fp32`."""
        return self.candidate.bundle.manifest.precision

    @property
    def ran(self) -> bool:
        """Whether there is at least one turn."""
        return bool(self.turns or self._earlier)

    def judge(self, drop: float, allowed: float) -> None:
        """Set the drop, and reject the candidate if the drop is larger than allowed."""
        self.drop = drop
        if drop > allowed + 1e-9:
            self.out = f"drop of {drop:.2f} points, {allowed:g} allowed"

    def note(self, *turns: Turn | None) -> None:
        """Add turns, which all count for now. Reject the candidate if it failed."""
        self.taken += [turn for turn in turns if turn is not None]
        self.count(self.taken)
        if self.candidate.failure is not None:
            self.out = f"failed: {self.candidate.failure}"
        elif not self.ran:
            self.out = "failed: it did not run"

    def count(self, turns: Sequence[Turn]) -> None:
        """Set the turns that count."""
        self.turns, self._speed = list(turns), None

    def prove(self) -> bool:
        """Run the self-test. Reject the candidate if it fails."""
        found = self.candidate.replay()
        if found is None:
            self.note()
        elif not found.holds:
            self.out = f"self-test failed: {found.failures[0]}"
        self.proven = self.out is None
        return self.proven

    def restart(self) -> None:
        """Begin the interleaved rounds. Earlier turns count only until the first of them."""
        self._earlier, self.taken = self.turns, []
        self.count(self.taken)

    def cost(self) -> float:
        """Return the value to minimize: milliseconds of a run, or seconds per image."""
        turns = self.turns or self._earlier
        if self.purpose == "latency":
            return cost_ms(turns)
        return sum(turn.seconds for turn in turns) / sum(turn.images for turn in turns)

    def costs(self) -> list[float]:
        """Return the value to minimize, for each interleaved round."""
        if self.purpose == "latency":
            return list(costs_ms(self.turns))
        return [turn.seconds / turn.images for turn in self.turns]

    def speed(self) -> Speed:
        """Return the speed in the latest turns."""
        if self._speed is None:
            self._speed = speed(self.turns or self._earlier)
        return self._speed

    def seconds_of_turn(self) -> float:
        """Return the duration of the last turn in seconds."""
        return (self.turns or self._earlier)[-1].seconds if self.ran else 0.0

    def chosen(self) -> Chosen:
        """Return the candidate in the format of a profile."""
        found = self.speed()
        figure = found.cost_ms if self.purpose == "latency" else found.images_per_s
        return Chosen(self.candidate.bundle.digest, self.candidate.setting, figure)

    def trial(self) -> Trial:
        """Return the candidate in the format of a report."""
        bundle = self.candidate.bundle
        found = self.speed() if self.ran else None
        notes = self.candidate.notes
        return Trial(bundle.manifest.name, bundle.digest, self.candidate.setting, self.drop, found, self.out, notes)


def most_accurate(contestants: Sequence[Contestant]) -> Contestant:
    """Return the first candidate of the most accurate precision, among at least one."""
    return min(contestants, key=lambda contestant: _RANK.get(contestant.precision, _CASCADE_RANK))
