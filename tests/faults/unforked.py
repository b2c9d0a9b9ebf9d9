"""The service in a Python of its own, which takes libraries and variables from its environment.

Other processes of tests are forked from one that has imported the service already.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("service", run_name="__main__", alter_sys=True)
