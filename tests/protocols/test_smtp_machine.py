"""The SMTP codec against a model: after every reply both have the same envelope.

The model is a session as RFC 5321 tells it, in the fewest words: no octets, no pipelining, no
limits. What it knows is compared with what a gateway knows from the questions alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from check_user.protocols.smtp import Data, End, Mail, Question, Recipient, Reply
from check_user.protocols.smtp.limits import SmtpLimits
from tests.protocols.smtp_door import SmtpDoor, codec, decide

PATIENT = SmtpLimits(errors=10**6, unknown=10**6, useless=10**6, message=100)
REPLIES = {
    "yes": None,
    "later": Reply(451, "4.3.0", ("Later",)),
    "never": Reply(550, "5.0.0", ("No",)),
}
RECIPIENTS = {"anna": 250, "nobody": 550, "fault": 451}

HARMLESS = [
    (b"NOOP", 250),
    (b"VRFY x", 252),
    (b"HELP", 214),
    (b"EXPN", 502),
    (b"STARTTLS", 502),
    (b"X", 500),
    (b"EHLO", 501),
    (b"RSET x", 501),
    (b"QUIT x", 501),
]
"""Commands that leave everything as it is."""

answers = st.sampled_from(["yes", "yes", "yes", "later", "never"])


@dataclass
class Model:
    """A session."""

    is_greeted: bool = False
    sender: str | None = None
    asked: int = 0
    recipients: list[str] = field(default_factory=list)
    octets: int | None = None
    """Of the message that chunks have begun."""
    must_reset: bool = False
    taken: int = 0

    def reset(self) -> None:
        """Forget the transaction."""
        self.sender, self.asked, self.recipients, self.octets = None, 0, [], None
        self.must_reset = False

    def why_no_message(self) -> int:
        """The code of the refusal, 0 for none."""
        if self.sender is None or self.must_reset or not self.asked:
            return 503
        return 0 if self.recipients else 554


class Session(RuleBasedStateMachine):
    """One client's commands, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.answers: dict[type[Question], str] = {}
        self.door = SmtpDoor(codec(limits=PATIENT), decide=self.decide)

    def decide(self, question: Question) -> Reply | None:
        return REPLIES[self.answers.get(type(question), "yes")] or decide(question)

    def say(self, text: bytes, code: int) -> None:
        """Send octets that have one reply."""
        said = self.door.ask(text)
        last = said.splitlines()[-1]
        assert said.endswith(b"\r\n")
        assert last.startswith(b"%d " % code), (text, said)

    @invariant()
    def same_envelope(self) -> None:
        assert self.door.sender == self.model.sender
        assert len(self.door.messages) == self.model.taken
        if self.model.sender is not None:
            assert self.door.recipients == self.model.recipients

    @initialize(late=st.booleans())
    def begin(self, late: bool) -> None:
        self.door.late = late

    @rule()
    def hello(self) -> None:
        self.say(b"EHLO x\r\n", 250)
        self.model.reset()
        self.model.is_greeted = True

    @rule()
    def rset(self) -> None:
        self.say(b"RSET\r\n", 250)
        self.model.reset()

    @rule(command=st.sampled_from(HARMLESS))
    def harmless(self, command: tuple[bytes, int]) -> None:
        self.say(command[0] + b"\r\n", command[1])

    @rule(sender=st.sampled_from(["", "x@example.net", "y@example.net"]), answer=answers)
    def mail(self, sender: str, answer: str) -> None:
        self.answers[Mail] = answer
        model = self.model
        code = {"yes": 250, "later": 451, "never": 550}[answer]
        if not model.is_greeted or model.must_reset or model.sender is not None:
            code = 503
        self.say(f"MAIL FROM:<{sender}>\r\n".encode(), code)
        if code == 250:
            model.reset()
            model.sender = sender

    @rule(bad=st.sampled_from([(b"MAIL FROM:<a b>", 501), (b"MAIL FROM:<> SIZE=101", 552)]))
    @precondition(lambda self: self.model.is_greeted)
    def bad_mail(self, bad: tuple[bytes, int]) -> None:
        is_due = self.model.sender is None and not self.model.must_reset
        self.say(bad[0] + b"\r\n", bad[1] if is_due else 503)

    @rule(names=st.lists(st.sampled_from(list(RECIPIENTS)), min_size=1, max_size=5))
    def recipients(self, names: list[str]) -> None:
        model = self.model
        paths = [f"<{name}@example.org>" for name in names]
        said = self.door.ask("".join(f"RCPT TO:{path}\r\n" for path in paths).encode())
        codes = [int(line[:3]) for line in said.splitlines()]
        if model.sender is None or model.must_reset or model.octets is not None:
            assert codes == [503] * len(names)
            return
        assert codes == [RECIPIENTS[name] for name in names]
        model.asked += len(names)
        model.recipients += [path for path in paths if path.startswith("<anna")]

    @rule(answer=answers, end=answers, flaw=st.sampled_from(["", "too big"]))
    def data(self, answer: str, end: str, flaw: str) -> None:
        self.answers |= {Data: answer, End: end}
        model = self.model
        refusal = 503 if model.octets is not None else model.why_no_message()
        if refusal:
            self.say(b"DATA\r\n", refusal)
            return
        self.say(b"DATA\r\n", {"yes": 354, "later": 451, "never": 550}[answer])
        if answer == "yes":
            body = b"x" * 101 if flaw else b"..x"
            code = 552 if flaw else {"yes": 250, "later": 451, "never": 550}[end]
            self.say(body + b"\r\n.\r\n", code)
            model.taken += code == 250
        model.reset()

    @precondition(lambda self: self.model.is_greeted)
    @rule(size=st.integers(0, 60), is_last=st.booleans(), answer=answers, end=answers)
    def chunk(self, size: int, is_last: bool, answer: str, end: str) -> None:
        self.answers |= {Data: answer, End: end}
        model = self.model
        codes = {"yes": 250, "later": 451, "never": 550}
        is_first = model.octets is None
        code = model.why_no_message() if is_first else 0
        is_over = False
        if not code and (model.octets or 0) + size > 100:
            code, is_over = 552, True
        elif not code and is_first and answer != "yes":
            code, is_over = codes[answer], True
        if not code and is_last:
            code, is_over = codes[end], True
            model.taken += code == 250
        elif code and not is_last:
            model.must_reset = True
        elif not code:
            code = 250
            model.octets = (model.octets or 0) + size
        self.say(b"BDAT %d%b\r\n%b" % (size, b" LAST" if is_last else b"", b"x" * size), code)
        if is_over:
            must_reset = model.must_reset
            model.reset()
            model.must_reset = must_reset


Session.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSession = Session.TestCase


def test_model_is_of_all_recipients() -> None:
    """The model asks what the door answers."""
    for name, code in RECIPIENTS.items():
        reply = decide(Recipient(f"<{name}@example.org>", (), ""))
        assert reply is not None
        assert reply.code == code
