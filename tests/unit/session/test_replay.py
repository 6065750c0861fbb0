from dbproxy.session.replay import LIMIT, SPOILED, Replay


def kept(*chunks: bytes, at: int = 0) -> Replay:
    replay = Replay()
    replay.at = at
    for chunk in chunks:
        if replay.at >= 0:
            replay.keep(chunk, len(chunk))
    replay.sealed = True
    return replay


def test_request_is_what_the_client_sent_from_its_first_message_on():
    replay = kept(b"..bind", b"execute", b"sync", at=2)
    assert replay.possible(True)
    assert replay.use() == b"bindexecutesync"


def test_bytes_held_back_are_not_of_the_request_yet():
    replay = Replay()
    replay.at = 0
    replay.keep(b"bind, half a sy", 4)
    replay.keep(b"half a sync", 11)
    assert replay.use() == b"bindhalf a sync"


def test_request_is_sent_again_once_only():
    replay = kept(b"bind")
    replay.use()
    replay.at, replay.sealed = 0, True
    assert not replay.possible(True)
    replay.clear()
    replay.at, replay.sealed = 0, True
    assert replay.possible(True)


def test_request_without_its_sync_is_not_whole():
    replay = kept(b"bind")
    replay.sealed = False
    assert not replay.possible(True)


def test_request_with_another_behind_it_is_spoiled():
    replay = kept(b"bind")
    replay.at = SPOILED
    assert not replay.possible(True)


def test_long_request_is_not_kept():
    half = bytes(LIMIT // 2 + 1)
    assert kept(half, half).possible(True)
    replay = kept(half, half, half)
    assert replay.at == SPOILED
    assert not replay.possible(True)
