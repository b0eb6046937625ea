"""A slow disk for the processes of a grid under fire: files take long to be put in their place, and say so meanwhile.

Python imports this module when it starts, where PYTHONPATH names its folder.
"""

import os
import time

_replace = os.replace


def replace(source, target, **keywords):
    mark = os.path.join(os.environ["SLOW_DISK"], str(os.getpid()))
    with open(mark, "w") as file:
        file.write(os.fspath(target))
    time.sleep(time.monotonic_ns() // 1000 % 50 / 1000)  # no generator is touched: runs must come out the same
    try:
        return _replace(source, target, **keywords)
    finally:
        os.unlink(mark)


if "SLOW_DISK" in os.environ:
    os.replace = replace
