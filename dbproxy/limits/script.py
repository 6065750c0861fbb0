"""What Redis is asked: one script, so that all of a request's limits allow it, or none of them is touched.

An *order* is of one request, and has an *item* for each of its limits. All orders of one call are carried out in turn,
by Redis' clock alone (TIME). Of each limit Redis keeps one value, `tat interval`: when all that was used will have come
back (limits.bucket), and what a token was worth, so that a limit that is changed keeps the number of its tokens that
are used. It is kept as long as it says something: no key is without a TTL. All numbers are microseconds below 2**53,
which Lua's are exact to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha1
from urllib.parse import quote

from dbproxy.limits.bucket import NEVER
from dbproxy.net.caller import Mismatch

TAG = "{limits}"  # all keys on one node of a cluster
LONGEST = 64  # bytes of a key
PRESENT = 5  # seconds that a proxy counts as there after it was heard of
HELLO, NOTHING, FAREWELL = "1", "0", "-1"
EXACT = 1 << 53

SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local token, proxy, news, present, shares = ARGV[1], ARGV[2], ARGV[3], ARGV[4] * 1, ARGV[5] * 1
local deadline = ARGV[6] * 1
if deadline > 0 and now > deadline then
  return {token, now, -1}
end
local used, worth, changed = {}, {}, {}

local function look(key, interval, capacity)
  if used[key] == nil then
    used[key] = 0
    local value = redis.pcall('GET', KEYS[key])
    local tat, was = string.match(type(value) == 'string' and value or '', '^(%d+) (%d+)$')
    if tat then
      used[key], worth[key] = math.max(0, tat - now), was * 1
    end
  end
  if worth[key] and worth[key] ~= interval then
    used[key] = math.min(math.floor(used[key] * interval / worth[key]), 2 * capacity)
  end
  worth[key] = interval
  return used[key]
end

local proxies = 0
if news == '1' then
  redis.call('ZADD', KEYS[1], now, proxy)
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - present * 1000000)
  redis.call('EXPIRE', KEYS[1], present)
  proxies = redis.call('ZCARD', KEYS[1])
elseif news == '-1' then
  redis.call('ZREM', KEYS[1], proxy)
end

local answer, at = {token, now, proxies}, 7
while ARGV[at] do
  local count, patience = ARGV[at] * 1, ARGV[at + 1] * 1
  local items, allowed = {}, true
  at = at + 2
  for i = 1, count do
    local item = {}
    for place = 1, 8 do
      item[place] = ARGV[at + place - 1] * 1
    end
    at = at + 8
    local key, interval, capacity, need = item[1], item[2], item[3], item[4]
    local over = look(key, interval, capacity) + need - capacity
    item.wait = 0
    if need > capacity then
      item.wait = -1
    elseif need > 0 and over > 0 then
      item.wait = over
    end
    if item.wait < 0 or item.wait > patience then
      allowed = false
    end
    items[i] = item
  end
  table.insert(answer, allowed and 1 or 0)
  for i = 1, count do
    local key, interval, capacity, need, extra, known, more, back = unpack(items[i])
    local level, got = used[key], 0
    if allowed then
      level = level + need
      got = math.max(0, math.min(extra, math.floor((capacity - level) / shares)))
      got = got - got % interval
      level = level + got
    end
    level = math.max(level, known)
    if more > 0 then
      level = math.max(level, math.min(level + more, 2 * capacity))
    end
    level = math.max(0, level - back)
    if level ~= used[key] then
      used[key], changed[key] = level, true
    end
    table.insert(answer, items[i].wait)
    table.insert(answer, got)
    table.insert(answer, level)
  end
end

for key in pairs(changed) do
  if used[key] > 0 then
    local value = string.format('%.0f %.0f', now + used[key], worth[key])
    redis.call('SET', KEYS[key], value, 'PX', math.ceil(used[key] / 1000) + 1)
  else
    redis.call('DEL', KEYS[key])
  end
end
return answer
"""
DIGEST = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()  # as Redis names it


@dataclass(frozen=True, slots=True)
class Item:
    """Of one limit, all in microseconds' worth.

    need       taken if the order is allowed
    extra      taken, too, as far as it is there
    known      so much was used, even if Redis has forgotten
    more       used already, whether it was there or not: up to a whole bucket of debt
    back       given back
    """

    key: bytes
    interval: int
    capacity: int
    need: int = 0
    extra: int = 0
    known: int = 0
    more: int = 0
    back: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """`wait`: how long until what is needed is there, NEVER if it never is; `got` of the extra; `used` by now."""

    wait: int
    got: int
    used: int


@dataclass(frozen=True, slots=True)
class Result:
    """Of one order."""

    allowed: bool
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """`patience`: for how long its request may be held back, if it is allowed then."""

    items: tuple[Item, ...]
    patience: int = 0


def name_key(prefix: str, rule: str, key: str) -> bytes:
    """Where Redis keeps what is used of a limit."""
    plain = f"{prefix}{TAG}:{quote(rule, safe='')}:{key}".encode()
    if len(plain) <= LONGEST:
        return plain
    digest = blake2b(f"{quote(rule, safe='')}:{key}".encode(), digest_size=16).hexdigest()
    return f"{prefix}{TAG}:{digest}".encode()


def name_members(prefix: str) -> bytes:
    """Where Redis keeps which proxies there are."""
    return f"{prefix}{TAG}".encode()


@dataclass(frozen=True, slots=True)
class Sender:
    """Who asks; `members`: where Redis keeps which proxies there are, `proxies`: how many that were."""

    members: bytes
    proxy: str
    proxies: int = 1


def spell(
    sender: Sender, token: str, orders: Sequence[Order], news: str = NOTHING, deadline: int = 0
) -> list[bytes | str | int]:
    """The arguments of EVALSHA behind the script: the number of keys, the keys, the rest.

    `deadline`: after which nothing is done, by Redis' clock; 0: never. One that was frozen does what it was asked
    when nobody waits for that any more.
    """
    keys: dict[bytes, int] = {sender.members: 1}
    words: list[bytes | str | int] = [token, sender.proxy, news, PRESENT, sender.proxies, deadline]
    for order in orders:
        words += [len(order.items), min(order.patience, EXACT - 1)]
        for item in order.items:
            place = keys.setdefault(item.key, len(keys) + 1)
            words += [place, item.interval, item.capacity, item.need]
            words += [item.extra, item.known, item.more, item.back]
    return [len(keys), *keys, *words]


@dataclass(frozen=True, slots=True)
class Answer:
    """`time`: Redis'; `proxies`: how many there are, 0 if it was not told who asks."""

    time: int
    proxies: int
    results: tuple[Result, ...]


def read(answer: object, token: str, orders: Sequence[Order]) -> Answer:
    """Mismatch if it does not answer these orders."""
    if not isinstance(answer, list) or not answer or answer[0] != token.encode():
        raise Mismatch
    numbers = [number for number in answer[1:] if isinstance(number, int)]
    if numbers[1:] == [-1]:
        raise Mismatch("Redis came to it too late")
    if len(numbers) != 2 + sum(1 + 3 * len(order.items) for order in orders):
        raise Mismatch
    results, at = [], 2
    for order in orders:
        allowed, at = numbers[at] == 1, at + 1
        found = []
        for _ in order.items:
            wait, got, used = numbers[at : at + 3]
            found.append(Found(NEVER if wait < 0 else wait, got, used))
            at += 3
        results.append(Result(allowed, tuple(found)))
    return Answer(numbers[0], numbers[1], tuple(results))
