"""Python's part of a shifted clock: `tests/at-date` has every Python program import this.

`time.sleep` waits for a time of the monotonic clock, which libfaketime refuses with EINVAL where that clock is left alone.
"""

import select
import time


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep
