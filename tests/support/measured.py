"""`python -m tests.support.measured FILE COMMAND ...`: the program, and its peak of memory in FILE.

VmHWM, not ru_maxrss: that one counts the memory of whoever forked the process.
"""

import re
import sys
from pathlib import Path

from service.cli import main


def peak_kb() -> int:
    result = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert result is not None
    return int(result[1])


if __name__ == "__main__":
    result_file = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        result_file.write_text(str(peak_kb()), "utf-8")
