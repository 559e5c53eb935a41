"""How long each part of a message's way may take. The limiter's exactness rests on the first three."""

from datetime import timedelta

# A granted message must be on its way within this, or its slot is given back.
SEND_WITHIN = timedelta(seconds=5)
# A request is over, one way or another, this long after it was written.
SEND_TIMEOUT = timedelta(seconds=10)
# So a slot is stamped with the latest instant at which its request can arrive.
LATEST_ARRIVAL = SEND_WITHIN + SEND_TIMEOUT

CONNECT_TIMEOUT = timedelta(seconds=2)
# Pauses, consent and quiet hours were read at most this long before anything is written.
CONTROL_AGE = timedelta(seconds=1)
# After this a worker that took a message counts as dead.
LEASE = timedelta(seconds=30)
# What nobody started is taken back so long after its `send_by`.
UNSTARTED_GRACE = timedelta(seconds=1)

# An unknown message is looked up no earlier than this after its stamp.
LOOK_UP_AFTER = timedelta(seconds=5)
LOOK_UP_AT_MOST_EVERY = timedelta(minutes=5)
# Where there is nothing to look up with, the gateway is asked again so often whether that has changed.
LOOK_UP_ABSENT_EVERY = timedelta(hours=1)
# A look-up whose worker died is made again after this.
LOOK_UP_LEASE = timedelta(seconds=30)
UNKNOWN_AT_MOST = timedelta(hours=24)

MAX_FAILURES = 8
THROTTLE_AT_LEAST = timedelta(seconds=1)
THROTTLE_AT_MOST = timedelta(hours=1)

# Single messages go to the archive so long after their end. Campaigns' go when they are closed, once no limit
# counts them any more.
SINGLES_KEPT = timedelta(days=30)
