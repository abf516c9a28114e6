"""A queue of work items in Redis that are leased, not taken.

A worker holds an item for a number of seconds. It completes the item in that
time, or the item goes back to the queue: work is not lost with a worker that
dies. An item that takes longer than its lease is done twice.

Every step is one script, which Redis runs as a whole. So there is no moment at
which an item is in no list, and none at which a worker sees half a queue. Four
keys hold the queue NAME:

NAME          list    items that wait
NAME:leased   hash    lease -> item
NAME:expiry   zset    lease, ordered by the time at which it ends
NAME:filled   string  there once the queue has been filled
"""

import time
import uuid

import redis

_FILL = """
if redis.call('SETNX', KEYS[4], #ARGV) == 0 then return 0 end
for _, item in ipairs(ARGV) do redis.call('RPUSH', KEYS[1], item) end
return #ARGV
"""

_LEASE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)) do
  redis.call('RPUSH', KEYS[1], redis.call('HGET', KEYS[2], lease))
  redis.call('HDEL', KEYS[2], lease)
  redis.call('ZREM', KEYS[3], lease)
end
local item = redis.call('LPOP', KEYS[1])
if not item then return false end
redis.call('HSET', KEYS[2], ARGV[1], item)
redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
return item
"""

_COMPLETE = """
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
"""

_REMAINING = "return redis.call('LLEN', KEYS[1]) + redis.call('HLEN', KEYS[2])"


def connect(host, port, timeout):
    """Return a client of the server, which gets timeout seconds to start."""
    client = redis.Redis(host=host, port=port, decode_responses=True)
    end = time.monotonic() + timeout
    while True:
        try:
            client.ping()
            return client
        except (redis.ConnectionError, redis.TimeoutError):
            if time.monotonic() >= end:
                raise
        time.sleep(0.2)


class WorkQueue:
    """The queue that the keys of the given name hold."""

    def __init__(self, client, name):
        self._client = client
        self._keys = [name, name + ":leased", name + ":expiry", name + ":filled"]

    def _run(self, script, *args):
        return self._client.eval(script, len(self._keys), *self._keys, *args)

    def fill(self, items):
        """Queue all items, or none if the queue has been filled before.

        Return how many were queued.
        """
        return self._run(_FILL, *items)

    def wait_filled(self, timeout):
        """Wait until the queue has been filled; TimeoutError after timeout s."""
        end = time.monotonic() + timeout
        while not self._client.exists(self._keys[3]):
            if time.monotonic() >= end:
                raise TimeoutError(f"nobody filled the queue {self._keys[0]} in {timeout} s")
            time.sleep(0.2)

    def lease(self, seconds):
        """Take an item for so many seconds; expired leases go back first.

        Return the lease and the item, or None if no item waits.
        """
        lease = str(uuid.uuid4())
        item = self._run(_LEASE, lease, seconds)
        return None if item is None else (lease, item)

    def complete(self, lease):
        """Strike the item off. Return False if the lease had expired."""
        return self._run(_COMPLETE, lease) == 1

    def empty(self):
        """Return whether no item waits and none is leased."""
        return self._run(_REMAINING) == 0
