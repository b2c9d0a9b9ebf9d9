"""The order of a mutant's tests: those that are likely to notice it come first."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tests.mutation.mutants import Mutant
from tests.mutation.reached import Reached


class Order:
    """What is known of the tests so far. All of them run for a mutant that none of them notices.

    A test is named by its pytest id, or by its file where files run as a whole. `reached` says of
    each test how long it takes, and which functions it calls if that is known.
    """

    def __init__(self) -> None:
        self.reached: Mapping[str, Reached] = {}
        self._noticed: dict[str, Counter[str]] = defaultdict(Counter)

    def note(self, mutant: Mutant, test: str) -> None:
        """Notes which test has noticed a mutant: it may notice others of the same file."""
        name = test if test in self.reached else test.partition("::")[0]
        self._noticed[mutant.source][name] += 1

    def of(self, mutant: Mutant, tests: Iterable[str]) -> Sequence[str]:
        """The tests that call the mutant's function, then the others.

        Of either, those that have noticed most mutants of the file in their time come first; the
        rest stay in the order in which they are given.
        """
        noticed, function = self._noticed[mutant.source], (mutant.source, mutant.function_line)

        def rank(test: str) -> tuple[bool, float]:
            known = self.reached[test]
            return function not in known.functions, -noticed[test] / known.seconds

        return sorted(tests, key=rank)
