"""Finds out why Kafka brokers cannot be used, and says so in words for an operator.

The Kafka client's exceptions say only that no broker was reached. The client writes the cause to
its log, from which this module reads it.
"""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from ..runtime.problems import causes_of

# How the client logs that it cannot connect, and what the cause means; tried in this order, since
# a message may hold several of these words.
_CONNECTION_MESSAGE = re.compile(
    r"Unable (connect to|to request metadata from) "
    r'("(?P<address>.+:\d+)"|node with id (?P<node>-?\d+)): ?(?P<cause>.*)',
    re.DOTALL,
)
_ACCEPTED = (
    "the broker's certificate is not accepted{}: BURSAR_KAFKA_CA_FILE must have the authority that "
    "has signed it"
)
_USER = (
    "the broker refuses the user{}: see BURSAR_KAFKA_USER, BURSAR_KAFKA_PASSWORD and "
    "BURSAR_KAFKA_MECHANISM"
)
_CLOSED = (
    "the broker ends the connection: does BURSAR_KAFKA_PROTOCOL fit it, or does it ask for "
    "BURSAR_KAFKA_CERTIFICATE_FILE?"
)
_SILENT = "the broker does not answer: does BURSAR_KAFKA_PROTOCOL fit it?"
_CAUSES = (
    (
        r"certificate has expired",
        "the broker's certificate has expired: it has to be renewed at the broker",
    ),
    (
        r"[Hh]ostname mismatch|IP address mismatch",
        "the broker's certificate is not for this address{}",
    ),
    (r"CERTIFICATE_VERIFY_FAILED", _ACCEPTED),
    (
        r"CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED",
        "the broker does not accept our certificate{}: see BURSAR_KAFKA_CERTIFICATE_FILE",
    ),
    (
        r"\[SSL|SSLError|\[X509",
        "there is no TLS session{}: does BURSAR_KAFKA_PROTOCOL fit the broker?",
    ),
    (r"Sasl|SASL|Authentication", _USER),
    (r"Errno -\d+\]|gaierror|nodename", "the host cannot be resolved"),
    (r"Errno 111\]|Connection refused|Connect call failed", "nobody listens there"),
    (r"closed\W*$", _CLOSED),
    (r"^$|Time(d)?[Oo]ut", _SILENT),
)


class LastProblem(logging.Handler):
    """A log handler that remembers the Kafka client's latest error, or the latest line that says
    why the client cannot connect, because the client's exceptions do not say that.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text: str | None = None
        self._connection: tuple[int, str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remembers the first line of a log message, cut to 300 characters, if it is an error or
        names a cause.
        """
        text_line = record.getMessage().splitlines()[0][:300]
        cause = cause_of(text_line)
        # A broker that hangs gives no reason, and neither does a connection that was lost later.
        is_attempt = text_line.startswith("Unable connect")
        if cause and is_attempt and not cause.startswith((_CLOSED, _SILENT)):
            self._connection = time.monotonic_ns(), cause
        if cause or record.levelno >= logging.ERROR:
            self.text = text_line

    def cause_since(self, since_ns: int) -> str | None:
        """Returns in words why the client could not connect to a broker; None if no such failure
        was logged since `since_ns`, a time of the monotonic clock.
        """
        if self._connection is None or self._connection[0] < since_ns:
            return None
        return self._connection[1]


@contextmanager
def last_problem() -> Iterator[LastProblem]:
    """Inside the `with` block, listens to the log of all Kafka clients of this process."""
    last = LastProblem()
    logger = logging.getLogger("aiokafka")
    logger.addHandler(last)
    try:
        yield last
    finally:
        logger.removeHandler(last)


def why_unusable(problem: Exception, logged: str | None) -> str:
    """Returns a sentence that says why no broker can be used.

    `logged` is the last problem that the client has logged, because its exceptions only say that no
    broker was reached.
    """
    if right := missing_right(problem):
        return right
    if cause := cause_of(logged or ""):
        return cause
    return f"{problem} ({logged})" if logged else str(problem)


def cause_of(logged: str) -> str | None:
    """Translates a line of the client's log about a failed connection into words for an operator,
    with the broker's address; None if the line is about something else.
    """
    match = _CONNECTION_MESSAGE.match(logged)
    if match is None:
        return None
    cause = match["cause"].strip()
    place = f"Kafka at {match['address']}" if match["address"] else f"broker {match['node']}"
    for pattern, words in _CAUSES:
        if re.search(pattern, cause):
            return f"{words.format(f' ({cause})')}: {place}"
    return f"{cause}: {place}"


def missing_right(problem: BaseException) -> str | None:
    """Returns a sentence that says which Kafka right is missing, if that caused the exception; None
    if it has another cause.
    """
    for each in (problem, *causes_of(problem)):
        if isinstance(each, TopicAuthorizationFailedError):
            return f"the brokers do not let the service use topic {topics_of(each)}"
        if isinstance(each, GroupAuthorizationFailedError):
            return "the brokers do not let the service read in its consumer group"
    return None


def topics_of(problem: TopicAuthorizationFailedError) -> str:
    """Returns the names of the topics for which the client has raised this exception, joined by
    commas.
    """
    (first, *_) = problem.args or ("?",)
    return first if isinstance(first, str) else ", ".join(sorted(map(str, first)))
