"""What was decided, counted by tier."""

OUTCOMES = ("allowed", "burst", "delayed", "rejected", "observed", "exempt")


class Tally:
    """Of one tier. `burst`: allowed, with less left than the burst; `observed`: would have been refused or delayed."""

    def __init__(self, tier: str) -> None:
        self.tier = tier
        self.allowed = 0
        self.burst = 0
        self.delayed = 0
        self.rejected = 0
        self.observed = 0
        self.exempt = 0
