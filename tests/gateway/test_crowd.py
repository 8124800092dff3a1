"""The crowd: what clients of one network may do together, whichever process they meet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from check_user.gateway.crowd import HOUR, Crowd, Doorkeeper, Visit, forget, network_of, share
from check_user.protocols.smtp import Connect, Reply
from check_user.verdict import Reply as Refusal
from tests.gateway.asking import MAIL, Client, Gateway, codes, recipient
from tests.gateway.hop import Hop

NETWORK = [f"192.0.2.{number}" for number in range(256)]
ELSEWHERE = "198.51.100.1"
PROXY = "203.0.113.5"
KILLED = """
import os, signal, sys
from check_user.gateway.crowd import Crowd
crowd = Crowd(int(sys.argv[1]), 1)
crowd.add_client(crowd.counters(b"net"), 1)
crowd.add_guess(crowd.counters(b"net"))
os.kill(os.getpid(), signal.SIGKILL)
"""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crowd(clock: Clock) -> Crowd:
    return Crowd(clock=clock)


@pytest.fixture
def memory() -> Iterator[int]:
    """For two processes."""
    descriptor = share(2)
    yield descriptor
    os.close(descriptor)


def keeper(crowd: Crowd, *, clients: int = 3, unknown: int = 5) -> Doorkeeper:
    return Doorkeeper(
        crowd, clients=clients, unknown=unknown, is_aside=lambda client: client == PROXY
    )


def admit(crowd: Crowd, client: str, **limits: int) -> Visit:
    visit = keeper(crowd, **limits).admit(client)
    assert visit is not None
    return visit


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.0", "192.0.2.255", True),
        ("192.0.2.0", "192.0.3.0", False),
        ("192.0.2.1", "::ffff:192.0.2.2", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("127.0.0.1", "::1", True),
        ("", "::ffff:127.0.0.9", True),
        ("127.0.0.1", "192.0.2.1", False),
    ],
)
def test_networks(one: str, other: str, *, together: bool) -> None:
    """A network is an IPv4 /24 or an IPv6 /64; IPv4 in IPv6 is IPv4; this host is none."""
    assert (network_of(one) == network_of(other)) is together
    assert (network_of(one) == b"") is (one in ("", "127.0.0.1"))


@pytest.mark.fault("GW11")
def test_clients_of_one_network(crowd: Crowd) -> None:
    """As many as may be here at a time; the next when one has left; others are unaffected."""
    door = keeper(crowd)
    visits = [admit(crowd, client) for client in NETWORK[:3]]
    assert door.admit(NETWORK[3]) is None
    assert door.admit(ELSEWHERE)
    visits[0].leave()
    assert door.admit(NETWORK[3])
    assert door.admit(NETWORK[4]) is None


def test_who_stands_aside(crowd: Crowd) -> None:
    """This host, unix sockets, and whom the site names: any number of clients and of guesses."""
    for client in ("127.0.0.1", "::1", "", PROXY):
        visits = [admit(crowd, client) for _ in range(10)]
        assert all(visits[0].may_guess() for _ in range(10))
        for visit in visits:
            visit.leave()


def test_no_limits(crowd: Crowd) -> None:
    """0 is no limit."""
    visits = [admit(crowd, client, clients=0, unknown=0) for client in NETWORK]
    assert all(visit.may_guess() for visit in visits)


@pytest.mark.fault("AB01")
def test_guesses_of_one_network(crowd: Crowd) -> None:
    """So many in an hour, whichever clients and however many sessions they have."""
    answers = []
    for client in NETWORK[:10]:
        visit = admit(crowd, client)
        answers.append(visit.may_guess())
        visit.leave()
    assert answers == [True] * 5 + [False] * 5
    assert admit(crowd, ELSEWHERE).may_guess()


@pytest.mark.fault("AB01")
@pytest.mark.parametrize("began", [0.0, 0.4 * HOUR, 0.99 * HOUR, 123456.7 * HOUR])
def test_an_hour(crowd: Crowd, clock: Clock, began: float) -> None:
    """The limit is never exceeded within any hour, and is forgotten after two."""
    clock.now = began
    visit = admit(crowd, NETWORK[0])
    given = []
    for _ in range(100):
        clock.now += HOUR / 20
        if visit.may_guess():
            given.append(clock.now)
    assert all(later - first > HOUR for first, later in zip(given, given[5:], strict=False))
    assert len(given) >= 10
    clock.now += 2 * HOUR
    assert [visit.may_guess() for _ in range(6)] == [True] * 5 + [False]


def test_processes_count_together(memory: int, clock: Clock) -> None:
    """A network's clients and guesses in one process are seen by the others."""
    one, two = Crowd(memory, 0, clock), Crowd(memory, 1, clock)
    visits = [admit(each, NETWORK[0]) for each in (one, two, one)]
    assert keeper(two).admit(NETWORK[1]) is None
    assert [visits[turn % 3].may_guess() for turn in range(8)] == [True] * 5 + [False] * 3
    visits[0].leave()
    assert keeper(two).admit(NETWORK[1])


@pytest.mark.fault("OS09")
def test_a_process_is_killed(memory: int) -> None:
    """Its clients are forgotten, by who sees it or who takes its place; its guesses aren't."""
    ours = Crowd(memory, 0)
    counters = ours.counters(b"net")
    ours.add_client(counters, 1)
    for forgotten in (lambda: forget(memory, 1), lambda: Crowd(memory, 1)):
        subprocess.run([sys.executable, "-c", KILLED, str(memory)], pass_fds=[memory], check=False)
        assert ours.clients(counters) == 2
        forgotten()
        assert ours.clients(counters) == 1
    assert ours.guesses(counters) == 2


@pytest.mark.fault("AB08")
def test_many_networks(crowd: Crowd) -> None:
    """However many networks come, nobody is forgotten, and hardly anybody counted wrongly."""
    guilty = admit(crowd, NETWORK[0])
    while guilty.may_guess():
        pass
    size = len(crowd._cells)
    others = [(10_000 + number).to_bytes(8, "big") for number in range(10_000)]
    for network in others:
        counters = crowd.counters(network)
        crowd.add_client(counters, 1)
        crowd.add_guess(counters)
    assert len(crowd._cells) == size
    assert not guilty.may_guess()
    assert max(crowd.clients(crowd.counters(each)) for each in others) <= 5
    assert max(crowd.guesses(crowd.counters(each)) for each in others) <= 10


@pytest.mark.fault("AB08")
def test_nobody_knows_his_counters() -> None:
    """Counters are chosen by a key of the process's own: nobody can find others who share them."""
    assert Crowd().counters(b"net") != Crowd().counters(b"net")


@pytest.mark.fault("GW11")
async def test_a_session_too_many(gateway: Gateway, crowd: Crowd) -> None:
    """It is told 421 in place of the greeting; another may come when one has gone, once for it."""
    first = await gateway.client("queue/maildir mail")
    chain, door = first.chain, keeper(crowd, clients=1)
    here, more = Client(chain, door), Client(chain, door)
    assert (await here.told(Connect(NETWORK[0]))).code == 220
    refused = await more.told(Connect(NETWORK[1]))
    assert refused == Reply(
        421, "4.7.0", ("gateway.example Too many connections from your network",)
    )
    for client in (more, here, here):
        client.session.closed()
    again = Client(chain, door)
    assert (await again.told(Connect(NETWORK[1]))).code == 220
    assert (await more.told(Connect(NETWORK[0]))).code == 421


async def admitted(gateway: Gateway, crowd: Crowd, client: str, unknown: int) -> Client:
    """A session that was greeted."""
    chain = (await gateway.client("queue/maildir mail")).chain
    session = Client(chain, keeper(crowd, unknown=unknown))
    assert (await session.told(Connect(client))).code == 220
    assert (await session.told(MAIL)).code == 250
    return session


@pytest.mark.fault("AB01")
async def test_a_network_that_guesses(gateway: Gateway, crowd: Crowd) -> None:
    """After so many 5xx an unknown is 450; who exists is 250, what is malformed 553 as ever."""
    guessing = await admitted(gateway, crowd, NETWORK[0], 5)
    names = [f"{name}@ours.example" for name in ("nobody", "anna", "fault", "bad")]
    replies = [[(await guessing.rcpt(name)).code for name in names] for _ in range(7)]
    assert replies == [[550, 250, 451, 553]] * 5 + [[450, 250, 451, 553]] * 2
    throttled = await guessing.rcpt("nobody@ours.example")
    text = "Too many unknown recipients - try later"
    assert throttled == Reply(450, "4.7.1", (text,), in_place_of_5xx=True)
    other = await admitted(gateway, crowd, ELSEWHERE, 5)
    assert codes([await other.rcpt(name) for name in names]) == [550, 250, 451, 553]


@pytest.mark.fault("AB01", "PC17")
@pytest.mark.parametrize("local", ["no" + "x" * 900, "no\x1b\x07", "no\u202e\udcff", "no{address}"])
async def test_what_who_guesses_is_told_is_one_line(
    gateway: Gateway, crowd: Crowd, local: str
) -> None:
    """Whatever address a client writes, what it is told of it is a line of printable ASCII, and the
    site's text comes first."""
    chain = (await gateway.client("queue/maildir mail")).chain
    harvest = Refusal(450, "4.7.1", "No more about {address}, {address}")
    guessing = Client(chain, keeper(crowd, unknown=1), harvest)
    await guessing.told(Connect(NETWORK[0]))
    await guessing.told(MAIL)
    answers = [await guessing.rcpt(f"{local}@ours.example") for _ in range(2)]
    guessing.session.closed()
    (text,) = answers[1].lines
    assert codes(answers) == [550, 450]
    assert text.startswith("No more about no")
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 460


@pytest.mark.fault("AB01")
async def test_the_next_hop_is_guessed_at(gateway: Gateway, crowd: Crowd) -> None:
    """Recipients whom only the next hop refuses for good are guesses, too."""
    async with Hop({"RCPT": b"550 5.1.1 nobody here\r\n"}) as hop:
        chain = (await gateway.client(f"queue/smtp-forward 127.0.0.1 {hop.port}")).chain
        guessing = Client(chain, keeper(crowd, unknown=2))
        await guessing.told(Connect(NETWORK[0]))
        await guessing.told(MAIL)
        answers = [await guessing.rcpt("anna@ours.example") for _ in range(4)]
        guessing.session.closed()
        assert codes(answers) == [550, 550, 450, 450]


@pytest.mark.fault("AB01")
async def test_relaying_is_guessing_too(gateway: Gateway, crowd: Crowd) -> None:
    """A foreign domain is refused for good as often as an unknown recipient is, and no oftener."""
    guessing = await admitted(gateway, crowd, NETWORK[0], 1)
    answers = [await guessing.told(recipient("anna@elsewhere.example")) for _ in range(2)]
    assert codes(answers) == [550, 450]
