"""Why no broker can be used, in words: from the last line that the client logs about it."""

import re

_LINE = re.compile(r'Unable connect to "(?P<address>.+:\d+)": ?(?P<cause>.*)', re.DOTALL)
# In this order: a text may hold several of these words.
_CAUSES = (
    (r"CERTIFICATE_VERIFY_FAILED", "the broker's certificate is not accepted{}"),
    (r"\[SSL|SSLError|\[X509", "there is no TLS session{}"),
    (r"Sasl|SASL|Authentication", "the broker refuses the user{}"),
    (r"Errno -\d+\]|gaierror|nodename", "the host cannot be resolved"),
    (r"Errno 111\]|Connection refused|Connect call failed", "nobody listens there"),
    (r"closed$", "the broker ends the connection: does BURSAR_KAFKA_PROTOCOL fit it?"),
    (r"^$|Timeout", "the broker does not answer: does BURSAR_KAFKA_PROTOCOL fit it?"),
)


def why_unusable(problem: Exception, logged: str | None) -> str:
    """`logged`: the client's last line; its exceptions only say that no broker was reached."""
    line = _LINE.match(logged or "")
    if line is None:
        return f"{problem} ({logged})" if logged else str(problem)
    cause = line["cause"].strip()
    for pattern, words in _CAUSES:
        if re.search(pattern, cause):
            return f"{words.format(f' ({cause})')}: Kafka at {line['address']}"
    return f"{cause}: Kafka at {line['address']}"
