"""What one gate knows of statements: of each (cache.case), by what the database defines, hints and rules."""

import structlog

from dbproxy.cache.case import Case, is_query, name_statement, name_tag
from dbproxy.cache.fence import Fence
from dbproxy.cache.keyring import ANY_HOST, FOR_HOST
from dbproxy.cache.terms import BAD_HINT, find_terms
from dbproxy.config.cache import CacheRuleSettings
from dbproxy.sql.access import READ
from dbproxy.sql.identity import Shape

log = structlog.get_logger(__name__)

NO_READ = "no read"
SEVERAL = "several statements"
STARTING = "the database is being read"
QUARANTINED = "quarantined"
SHAPES = 8192  # that are remembered


class Cases:
    """Of one database and user. `ttl`: seconds that an answer lives where neither a hint nor a rule says another."""

    def __init__(
        self, database: str, user: str, fence: Fence, ttl: float, rules: tuple[CacheRuleSettings, ...]
    ) -> None:
        self.database = database
        self.user = user
        self.fence = fence
        self.ttl = ttl
        self.rules = rules
        self.known: dict[Shape, Case] = {}
        self.quarantined: set[int] = set()  # shapes, by their hash

    def apply(self, ttl: float, rules: tuple[CacheRuleSettings, ...]) -> None:
        """Other settings: each statement is judged anew."""
        self.ttl, self.rules = ttl, rules
        for case in self.known.values():
            case.knowledge = None

    def find(self, shape: Shape) -> Case:
        """As it is judged by what is known now."""
        case = self.known.get(shape)
        if case is None or case.knowledge is not self.fence.knowledge or not self.fence.knows():
            case = self.judge(shape)
        return case

    def is_followed(self, case: Case) -> bool:
        """Whether all that is written to its tables is seen."""
        followed = self.fence.followed
        return followed is None or case.oids <= followed

    def quarantine(self, shape: Shape) -> None:
        """It is not answered any more."""
        self.quarantined.add(shape.hash)
        self.judge(shape)

    def judge(self, shape: Shape) -> Case:
        """As of what is known now."""
        case = self.known.get(shape)
        if case is None:
            if len(self.known) >= SHAPES:
                self.known.clear()
            case = self.known[shape] = Case(shape)
        case.knowledge = self.fence.knowledge if self.fence.knows() else None
        case.reason = self.find_objection(case)
        return case

    def find_objection(self, case: Case) -> str:
        """Why its answers are not kept; "" if they are, and then on which terms is noted."""
        shape, fence = case.shape, self.fence
        if not shape.effects.reads or shape.kind != READ or not is_query(shape):
            return NO_READ
        if not shape.effects.single:
            return SEVERAL
        if shape.effects.hint not in ANY_HOST:
            return FOR_HOST
        if shape.hash in self.quarantined:
            return QUARANTINED
        if not fence.knows():
            return STARTING
        reads = fence.knowledge.judge(shape)  # type: ignore[union-attr]  # what is known holds
        if reads.reason:
            return str(reads.reason)
        try:
            terms = find_terms(shape, self.rules, self.database, self.user)
        except ValueError as error:
            log.warning(
                "cache hint not understood", query=shape.name(), statement=shape.text, error=str(error)
            )
            return BAD_HINT
        case.ttl = self.ttl if terms.ttl is None else terms.ttl
        case.oids, case.tags = reads.tables, terms.tags
        case.wanted = bool(shape.effects.cache_hint)
        marks = [name_statement(shape.name()), *map(name_tag, sorted(terms.tags))]
        tables = [fence.find(oid) for oid in reads.tables]
        case.tables = tables + [fence.find_mark(name) for name in marks]
        case.narrow(reads.row, fence)
        return terms.refusal
