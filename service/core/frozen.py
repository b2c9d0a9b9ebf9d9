"""Dataclasses that the type checker treats as frozen (immutable), without the cost of frozen
dataclasses at run time.

The initializer of a frozen dataclass calls `object.__setattr__` for each field, which takes eight
times as long as plain assignments: 7 of the 90 microseconds in which the service processes a fine.
`mypy`, which every change of the code has to pass, reports code that assigns a field of such a
dataclass.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, **options: Any) -> Any:
        """Returns the decorator of `dataclasses`; a value that is frozen can be hashed."""
        return dataclasses.dataclass(unsafe_hash=frozen, **options)


__all__ = ["dataclass"]
