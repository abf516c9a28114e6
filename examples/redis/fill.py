"""Fills the queue QUEUE with the arguments, once."""

import os
import sys

import workqueue

client = workqueue.connect(os.environ["REDIS_SERVICE_HOST"], os.environ["REDIS_SERVICE_PORT"], timeout=120)
queued = workqueue.WorkQueue(client, os.environ["QUEUE"]).fill(sys.argv[1:])
print(f"Queued {queued} items" if queued else "The queue has been filled before")
