"""Changes to a recorded conversation that keep most of its structure, so that what is behind the framing is reached."""

from collections.abc import Callable, Sequence
from random import Random

Messages = list[bytes]

LENGTHS = (0, 3, 4, 5, 8, 9, 10_001, 0x3FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NUMBERS = (b"\0\0", b"\0\1", b"\x7f\xff", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff")
PIECES = (
    b"\0",
    b"\0\0",
    b"\xff",
    b"\xc3\x28",
    b"'",
    b'"',
    b"$$",
    b"--",
    b"/*",
    b"\\",
    b";",
    b"(",
    b"S_1",
    b"_pq_.x",
)
KINDS = b"QPBDECSHFXcdfp?RKTtZ123nsIAGWHNVv\0"
HEAD = 5


def split_stream(data: bytes, *, opening: bool) -> Messages:
    """Into messages as far as their lengths make sense, and the rest. `opening`: a start-up is first."""
    found: Messages = []
    at = 0
    while at < len(data):
        head = 0 if opening and at == 0 else 1
        size = head + int.from_bytes(data[at + head : at + head + 4], "big")
        if size < head + 4 or at + size > len(data):
            found.append(data[at:])
            break
        found.append(data[at : at + size])
        at += size
    return found


def frame(message: bytes) -> bytes:
    """With the length that it has."""
    return message[:1] + (len(message) - 1).to_bytes(4, "big") + message[HEAD:]


# --- one change each ---


def drop(messages: Messages, at: int, random: Random) -> None:
    del messages[at]


def repeat(messages: Messages, at: int, random: Random) -> None:
    messages[at:at] = [messages[at]] * random.choice([1, 1, 2, 20])


def swap(messages: Messages, at: int, random: Random) -> None:
    other = random.randrange(len(messages))
    messages[at], messages[other] = messages[other], messages[at]


def move(messages: Messages, at: int, random: Random) -> None:
    messages.insert(random.randrange(len(messages)), messages.pop(at))


def truncate(messages: Messages, at: int, random: Random) -> None:
    """With a length that is still the old one, or is right again."""
    cut = messages[at][: random.randrange(len(messages[at]) + 1)]
    messages[at] = frame(cut) if len(cut) >= HEAD and random.random() < 0.7 else cut


def break_off(messages: Messages, at: int, random: Random) -> None:
    messages[at] = messages[at][: random.randrange(len(messages[at]) + 1)]
    del messages[at + 1 :]


def lie_about_length(messages: Messages, at: int, random: Random) -> None:
    message = messages[at]
    real = len(message) - 1
    length = random.choice([*LENGTHS, real - 1, real + 1, real + 5]) & 0xFFFFFFFF
    messages[at] = message[:1] + length.to_bytes(4, "big") + message[HEAD:]


def rename(messages: Messages, at: int, random: Random) -> None:
    messages[at] = bytes([random.choice(KINDS)]) + messages[at][1:]


def change_bytes(messages: Messages, at: int, random: Random) -> None:
    changed = bytearray(messages[at])
    for _ in range(random.choice([1, 1, 2, 8])):
        if len(changed) > HEAD:
            changed[random.randrange(HEAD, len(changed))] = random.randrange(256)
    messages[at] = bytes(changed)


def insert_piece(messages: Messages, at: int, random: Random) -> None:
    message = messages[at]
    place = random.randrange(min(HEAD, len(message)), len(message) + 1)
    messages[at] = frame(
        message[:place] + random.choice(PIECES + NUMBERS) * random.choice([1, 1, 3]) + message[place:]
    )


def overwrite(messages: Messages, at: int, random: Random) -> None:
    message, piece = messages[at], random.choice(NUMBERS)
    if len(message) > HEAD:
        place = random.randrange(HEAD, len(message))
        messages[at] = frame(message[:place] + piece + message[place + len(piece) :])


def cut_out(messages: Messages, at: int, random: Random) -> None:
    message = messages[at]
    if len(message) > HEAD:
        place = random.randrange(HEAD, len(message))
        messages[at] = frame(message[:place] + message[place + random.randrange(1, 9) :])


CHANGES: Sequence[Callable[[Messages, int, Random], None]] = (
    drop, repeat, swap, move, truncate, break_off, lie_about_length, rename, change_bytes, insert_piece, overwrite,
    cut_out,
)  # fmt: skip


def mutate(data: bytes, random: Random, *, opening: bool, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes; now and then the end of another recording behind a beginning of this one."""
    messages = split_stream(data, opening=opening)
    if others and random.random() < 0.1:
        tail = split_stream(random.choice(others), opening=opening)
        messages = messages[: random.randrange(len(messages) + 1)] + tail[random.randrange(len(tail)) :]
    for _ in range(random.choice([1, 1, 2, 4])):
        if messages:
            random.choice(CHANGES)(messages, random.randrange(len(messages)), random)
    return b"".join(messages)
