"""How often the interpreter looks for cycles of objects."""

import gc


def look_for_cycles_seldom() -> None:
    """At the start of a process: the collector looks about as seldom as there is work for it.

    What a poll or a batch makes lives until its commit, and hardly any of it is in a cycle. With
    the interpreter's own thresholds (700, 10, 10) a sixth of the time goes into looking at it.
    """
    gc.set_threshold(50_000, 20, 50)
