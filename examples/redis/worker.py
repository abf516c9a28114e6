"""Works on items of the queue QUEUE until none is left.

Put the real work in the place of the pause, whose length is WORK_SECONDS.
"""

import os
import time

import workqueue

LEASE_SECONDS = int(os.environ.get("LEASE_SECONDS", "10"))
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "10"))

client = workqueue.connect(os.environ["REDIS_SERVICE_HOST"], os.environ["REDIS_SERVICE_PORT"], timeout=120)
queue = workqueue.WorkQueue(client, os.environ["QUEUE"])
queue.wait_filled(timeout=120)
while not queue.empty():
    leased = queue.lease(LEASE_SECONDS)
    if leased is None:
        print("Waiting for work", flush=True)
        time.sleep(0.5)
        continue
    lease, item = leased
    print("Working on " + item, flush=True)
    time.sleep(WORK_SECONDS)
    if not queue.complete(lease):
        print("The lease had expired: somebody else does it again: " + item, flush=True)
print("Queue empty, exiting")
