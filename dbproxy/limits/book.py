"""All subjects that there are, by rule and key: bounded in number, and none that is in use is forgotten.

One that is *idle*, with no session, nothing that runs and all that it used come back, makes room for a new one, and is
the same again when it returns. Where none is idle, new keys share one subject of their rule.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice

from dbproxy.config.limits import NONE, LimitRuleSettings, LimitSettings, TierSettings, parse_tier
from dbproxy.config.template import Facts
from dbproxy.limits.bucket import NEVER
from dbproxy.limits.source import Reading, read_limit
from dbproxy.limits.subject import Subject, Terms
from dbproxy.limits.tally import Tally

OTHERS = "<other>"
# By whose word a key has its tier.
CONSOLE, SOURCE, CONFIGURATION, RULE, DEFAULT = "console", "source", "configuration", "rule", "default"
LONG = 12  # characters of a secret of which the first may be shown
TRIED = 10  # subjects that are looked at, the oldest first, for one that is idle


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator has said on the console; `until`: microseconds, NEVER for as long as it is not taken back."""

    text: str
    limits: TierSettings
    until: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What a key is held to. `origin`: by whose word."""

    tier: str
    limits: TierSettings
    origin: str


@dataclass(slots=True)
class Rule:
    """A rule as it is at work. `listed`: tiers, or limits, by key, as its `source` has them."""

    settings: LimitRuleSettings
    subjects: dict[str, Subject] = field(default_factory=dict)
    others: Subject | None = None  # of keys for which there was no room
    listed: Mapping[str, str] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)  # of the source
    is_secret: bool = False  # its keys are

    def __post_init__(self) -> None:
        self.is_secret = self.settings.key.holds_secret

    @property
    def name(self) -> str:
        return self.settings.name

    def show(self, key: str) -> str:
        """As people and the log are told of it: a key that is a secret is not."""
        if not self.is_secret or key == OTHERS:
            return key
        return f"{key[:4] if len(key) > LONG else ''}…{sha256(key.encode()).hexdigest()[:8]}"


class Book:
    """`version` grows with whatever may give a key another tier."""

    def __init__(self, settings: LimitSettings) -> None:
        self.settings = settings
        self.rules = [Rule(rule) for rule in settings.list_rules()]
        self.tallies: dict[str, Tally] = {}
        self.version = 1
        self.without_room = 0  # times that a key found no room
        self.share: Callable[[Subject], None] = keep  # its rate with other proxies

    def apply(self, settings: LimitSettings) -> None:
        """Other settings: what is used stays used, and what was said on the console stays said."""
        known = {(rule.name, str(rule.settings.key)): rule for rule in self.rules}
        self.settings = settings
        self.rules = []
        for new in settings.list_rules():
            rule = known.get((new.name, str(new.key))) or Rule(new)
            if not new.source:
                rule.listed, rule.reading = {}, Reading()
            rule.settings = new
            self.rules.append(rule)
        self.version += 1

    def __len__(self) -> int:
        return sum(len(rule.subjects) for rule in self.rules)

    def __iter__(self) -> Iterator[Subject]:
        for rule in self.rules:
            yield from list(rule.subjects.values())
            if rule.others is not None:
                yield rule.others

    def find_rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.name == name), None)

    def show_key(self, subject: Subject) -> str:
        rule = self.find_rule(subject.rule)
        # Of a rule that is gone nobody knows if its keys are secrets.
        return "…" if rule is None else rule.show(subject.key)

    def name(self, subject: Subject) -> str:
        """Tenant "acme"."""
        return f'{subject.rule} "{self.show_key(subject)}"'

    # --- subjects ---

    def find_all(
        self, facts: Facts, settings: Mapping[str, str], tags: Mapping[str, str], now: int
    ) -> list[Subject]:
        """Those that this client is held to, of each rule that knows its key one."""
        found = []
        for rule in self.rules:
            template = rule.settings.key
            if template.is_claim and not self.believes(facts.user):
                continue
            key = template.fill(facts, settings, tags)
            if key:
                found.append(self.find(rule, key, now))
        return found

    def believes(self, user: str) -> bool:
        """Whether it may say itself who it is."""
        return user in self.settings.trust or "*" in self.settings.trust

    def find(self, rule: Rule, key: str, now: int) -> Subject:
        subject = rule.subjects.get(key)
        if subject is None:
            if self.make_room(now):
                subject = rule.subjects[key] = Subject(rule.name, key)
            else:
                subject = rule.others = rule.others or Subject(rule.name, OTHERS)
        self.refresh(rule, subject, now)
        return subject

    def refresh(self, rule: Rule, subject: Subject, now: int) -> None:
        """Hold the subject to the tier that it has now, unless nothing has changed."""
        if subject.version != self.version:
            self.hold(rule, subject, now)

    def make_room(self, now: int) -> bool:
        """For one more subject; whether there is."""
        if len(self) < self.settings.max_keys:
            return True
        for rule in self.rules:
            for key in list(islice(rule.subjects, TRIED)):
                subject = rule.subjects.pop(key)
                if subject.is_idle(now):
                    return True
                rule.subjects[key] = subject  # the youngest now
        self.without_room += 1
        return False

    def hold(self, rule: Rule, subject: Subject, now: int) -> None:
        """The subject to the tier that it has now."""
        found, settings = self.find_holding(rule, subject.key), self.settings
        terms = Terms(settings.pace == "even", rule.settings.count or settings.count, settings.notice_at)
        subject.hold(found.tier, found.limits, self.find_tally(found.tier), terms, now)
        self.share(subject)
        subject.version = self.version

    def find_holding(self, rule: Rule, key: str) -> Holding:
        """Limits that are no tier's own are counted with the tier that the key would have without them."""
        tiers, found = self.settings.tiers, self.find_written(rule, key)
        override = rule.overrides.get(key)
        if override is None:
            return found
        if override.text in tiers:
            return Holding(override.text, tiers[override.text], CONSOLE)
        return replace(found, limits=override.limits, origin=CONSOLE)

    def find_written(self, rule: Rule, key: str) -> Holding:
        """As its source and the configuration have it, whatever was said on the console."""
        tiers, own = self.settings.tiers, rule.settings
        listed, usual = rule.listed.get(key, ""), self.settings.tier_of(own, key)
        if listed in tiers:
            return Holding(listed, tiers[listed], SOURCE)
        limits = read_limit(listed) if listed else None
        if limits is not None:
            return Holding(usual, limits, SOURCE)
        origin = CONFIGURATION if own.tiers.get(key) else RULE if own.tier else DEFAULT
        return Holding(usual, tiers[usual], origin)

    def find_tally(self, tier: str) -> Tally:
        tally = self.tallies.get(tier)
        if tally is None:
            tally = self.tallies[tier] = Tally(tier)
        return tally

    # --- who has which tier ---

    def adopt_tiers(self, rule: Rule, listed: Mapping[str, str]) -> None:
        """Hold the keys of this rule to what its source has said."""
        if listed != rule.listed:
            rule.listed = listed
            self.version += 1

    def override(self, rule: Rule, key: str, text: str, until: int = NEVER) -> None:
        """ValueError if the text is no limit; NONE is no limit at all."""
        limits = self.settings.tiers.get(text) or (TierSettings() if text == NONE else parse_tier(text))
        rule.overrides[key] = Override(text, limits, until)
        self.version += 1

    def reset(self, rule: Rule, key: str) -> bool:
        """Take back what was said on the console; whether there was something."""
        found = rule.overrides.pop(key, None) is not None
        self.version += found
        return found

    def sweep(self, now: int) -> None:
        """What was said for a while only, and that is over."""
        for rule in self.rules:
            over = [key for key, override in rule.overrides.items() if override.until <= now]
            for key in over:
                self.reset(rule, key)


def keep(subject: Subject) -> None:
    """What it may is this proxy's alone."""
    subject.share(None)
