"""What Redis is asked: two scripts and the keys that they touch, which are all that is touched there.

    {cache}:generation   a random word; what is kept under another is void: a flush is another word
    {cache}:spent:<ms>   bytes written, by slices of the time that values are kept: those of the slices in which all
                         that has not expired was written are never more than the limit
    {cache}:<hash>       one answer: the generation it was asked for in, and the parcel (cache.parcel)

All behind the prefix. A key that is lost is no harm: without the generation there is another, and all of before is
void. An error of Redis' inside (it is full, a key is of another type) is an answer as if nothing were there.
"""

from dataclasses import dataclass
from hashlib import blake2b, sha1

from dbproxy.net.caller import Mismatch

GENERATION = 16  # characters of it
KEPT, FULL, OTHER, REFUSED = "kept", "full", "other", "refused"  # OTHER: a generation
_CURRENT = """
local generation = redis.pcall('GET', KEYS[1])
if not generation then
  redis.pcall('SET', KEYS[1], ARGV[2], 'NX')
  generation = redis.pcall('GET', KEYS[1])
end
if type(generation) ~= 'string' then
  generation = ''
end
"""
_FIND = """
local answer = {ARGV[1], generation}
for place = 2, #KEYS do
  local value = redis.pcall('GET', KEYS[place])
  local left = -2
  if type(value) == 'string' then
    left = redis.pcall('PTTL', KEYS[place])
  else
    value = ''
  end
  table.insert(answer, value)
  table.insert(answer, left)
end
return answer
"""
_KEEP = """
local ttl, window, limit = ARGV[4] * 1, ARGV[5] * 1, ARGV[6] * 1
if generation == '' or generation ~= ARGV[3] then
  return {ARGV[1], generation, 'other'}
end
local time = redis.call('TIME')
local slice = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / math.ceil(window / 8))
local spent = redis.pcall('HGETALL', KEYS[2])
if spent.err then
  return {ARGV[1], generation, 'refused'}
end
local size = #KEYS[3] + #ARGV[7] + 216  -- with the generation, and what Redis needs besides, about
local sum = size
for place = 1, #spent, 2 do
  if spent[place] * 1 < slice - 8 then
    redis.pcall('HDEL', KEYS[2], spent[place])
  else
    sum = sum + spent[place + 1]
  end
end
if sum > limit then
  return {ARGV[1], generation, 'full'}
end
local counted = redis.pcall('HINCRBY', KEYS[2], slice, size)
if type(counted) == 'table' then
  return {ARGV[1], generation, 'refused'}
end
redis.pcall('PEXPIRE', KEYS[2], 2 * window)
local kept = redis.pcall('SET', KEYS[3], generation .. ARGV[7], 'PX', math.min(ttl, window))
return {ARGV[1], generation, kept.ok and 'kept' or 'refused'}
"""
_FLUSH = """
local kept = redis.pcall('SET', KEYS[1], ARGV[2])
return {ARGV[1], kept.ok and ARGV[2] or ''}
"""


@dataclass(frozen=True, slots=True)
class Script:
    """`digest`: as Redis names it."""

    text: str
    digest: str


def make(text: str) -> Script:
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


FIND, KEEP, FLUSH = make(_CURRENT + _FIND), make(_CURRENT + _KEEP), make(_FLUSH)


@dataclass(frozen=True, slots=True)
class Keys:
    """Of one Redis, behind a prefix; one node of a cluster has all."""

    prefix: str

    @property
    def generation(self) -> bytes:
        return f"{self.prefix}{{cache}}:generation".encode()

    def spent(self, window: int) -> bytes:
        """Of those that keep values for so many milliseconds at most."""
        return f"{self.prefix}{{cache}}:spent:{window}".encode()

    def name(self, name: bytes, key: bytes) -> bytes:
        """Where the answer for this key is; no SQL is seen there."""
        found = blake2b(key, digest_size=16, key=blake2b(name, digest_size=32).digest())
        return f"{self.prefix}{{cache}}:{found.hexdigest()}".encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What Redis has said behind its token."""

    generation: str
    rest: list[object]


def read(answer: object, token: str, items: int) -> Answer:
    """Mismatch if it does not answer what was asked with this token, or has not so many `items`."""
    if not isinstance(answer, list) or len(answer) != 2 + items or answer[0] != token.encode():
        raise Mismatch
    generation = answer[1]
    if not isinstance(generation, bytes) or len(generation) not in (0, GENERATION):
        raise Mismatch
    return Answer(generation.decode("latin-1"), answer[2:])
