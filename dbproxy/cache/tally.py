"""What is counted of one database and user."""

from collections import Counter

HIT, WOULD_HIT, MISS, COALESCED, VERIFIED = "hit", "would_hit", "miss", "coalesced", "verified"
OUTCOMES = (HIT, WOULD_HIT, MISS, COALESCED, VERIFIED)
REASONS = 1000  # of bypasses that are told apart
OTHER = "others"


class Tally:
    """`saved`: seconds that servers would have taken for the hits."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.bypassed: dict[str, int] = {}  # by reason
        self.discarded: Counter[str] = Counter()  # answers that were not kept, by reason
        self.kept = 0
        self.saved = 0.0
        self.mismatches = 0

    def hit_rate(self) -> float:
        """Of what could have been a hit; 0 if there was nothing."""
        hits = self.outcomes[HIT] + self.outcomes[WOULD_HIT] + self.outcomes[VERIFIED]
        asked = hits + self.outcomes[MISS]
        return hits / asked if asked else 0.0

    def bypass(self, reason: str) -> None:
        """A request was not looked for."""
        before = self.bypassed.get(reason, 0)
        if not before and len(self.bypassed) >= REASONS:
            reason = OTHER
            before = self.bypassed.get(reason, 0)
        self.bypassed[reason] = before + 1
