"""Python's part of a shifted clock: `tests/at-date` has every Python program import this.

Under libfaketime Python needs several times the CPU, and `time.sleep` fails with EINVAL, since it waits for a time of the
monotonic clock. So Python starts again without libfaketime and shifts its own clock; its children get libfaketime back.
"""

import os
import sys
from datetime import timedelta

KEPT_PRELOAD = "SHIFTED_CLOCK_LD_PRELOAD"

if "LD_PRELOAD" in os.environ:
    environment = dict(os.environ)
    environment[KEPT_PRELOAD] = environment.pop("LD_PRELOAD")
    os.execve(sys.executable, sys.orig_argv, environment)

import time_machine

os.environ["LD_PRELOAD"] = os.environ.pop(KEPT_PRELOAD)
time_machine.travel(timedelta(seconds=int(os.environ["FAKETIME"]))).start()
