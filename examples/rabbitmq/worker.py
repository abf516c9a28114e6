"""Processes the one work item that standard input holds.

Put the real work in the place of the pause, whose length is WORK_SECONDS.
"""

import os
import sys
import time

print("Processing " + sys.stdin.read().strip(), flush=True)
time.sleep(float(os.environ.get("WORK_SECONDS", "10")))
