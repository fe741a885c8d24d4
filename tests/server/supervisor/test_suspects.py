"""The lists of suspected and refused images, the record of decoding, and restarts of a worker that was ready."""

import os
import signal
import threading
from collections.abc import Callable

import pytest
from fake_workers import SERVING
from server_messages import wait_for
from supervised import Server

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.suspects import DecodingGuard
from edgecnn.server.decoding_record import DIGEST_BYTES, DecodingRecord, create_record
from edgecnn.server.supervisor.suspects import Suspects

ONE, OTHER = b"1" * DIGEST_BYTES, b"2" * DIGEST_BYTES


@pytest.fixture
def record() -> DecodingRecord:
    return DecodingRecord(None)


def test_two_processes_share_the_record():
    fd = create_record()
    if fd is None:
        pytest.skip("needs memfd_create")
    try:
        worker, supervisor = DecodingRecord(fd), DecodingRecord(fd)
        with worker.decoding(ONE, alone=False), worker.decoding(OTHER, alone=True):
            assert sorted(supervisor.take()) == [(ONE, False), (OTHER, True)]
        assert supervisor.take() == []
        with worker.decoding(ONE, alone=False):
            pass
        assert supervisor.take() == []
    finally:
        os.close(fd)


def test_refuses_only_what_was_decoded_alone():
    suspects = Suspects()
    suspects.crashed([(ONE, False), (OTHER, False)])
    suspects.crashed([(ONE, True)])
    assert (list(suspects.suspected), list(suspects.refused)) == ([OTHER.hex()], [ONE.hex()])
    suspects.crashed([(OTHER, False)])  # not alone, because it succeeded before
    assert list(suspects.refused) == [ONE.hex()]


def test_drops_the_oldest_suspects():
    suspects = Suspects()
    for number in range(1100):
        suspects.crashed([(number.to_bytes(DIGEST_BYTES, "big"), False)])
    assert len(suspects.suspected) == 1000
    assert int(next(iter(suspects.suspected)), 16) == 100


def digest_of(file: bytes, record: DecodingRecord) -> str:
    with DecodingGuard(record).decoding(file):
        ((digest, _),) = record.take()
    return digest.hex()


def test_refuses_an_image_by_its_digest(record: DecodingRecord):
    guard = DecodingGuard(record, refused=[digest_of(b"bad", record)])
    with pytest.raises(Refusal, match="ended the worker twice") as refused, guard.decoding(b"bad"):
        pass
    assert refused.value.status == 400
    with guard.decoding(b"good"):
        pass


def test_decodes_a_suspect_alone_until_it_succeeds(record: DecodingRecord):
    guard = DecodingGuard(record, suspected=[digest_of(b"suspect", record)])
    ended, begun, order = threading.Event(), threading.Event(), []

    def decode(file: bytes) -> None:
        with guard.decoding(file):
            order.append(file)

    def hold() -> None:
        with guard.decoding(b"first"):
            begun.set()
            ended.wait(30.0)
            order.append(b"first")

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert begun.wait(30.0)
    threads.append(threading.Thread(target=decode, args=(b"suspect",)))
    threads[1].start()
    wait_for(lambda: guard._waiting)
    threads.append(threading.Thread(target=decode, args=(b"later",)))
    threads[2].start()
    assert order == []
    ended.set()
    for thread in threads:
        thread.join(30.0)
    assert order == [b"first", b"suspect", b"later"]
    with guard.decoding(b"suspect"), guard.decoding(b"other"):
        assert [alone for _, alone in record.take()] == [False, False]


def test_always_restarts_a_worker_that_was_ready(serve: Callable[..., Server]):
    server = serve(SERVING)
    server.logged("edgecnn serves")
    for crash in range(1, 7):  # more than the limit
        os.kill(server.pids()[-1], signal.SIGKILL)
        wait_for(lambda crash=crash: server.log.read_text().count("the worker is ready again") == crash)
    assert server.end() == 0
