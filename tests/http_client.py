"""One client for all the tests' plain requests: to make one loads every certificate, ten times a request."""

import httpx2

# Servers come and go, so no connection is kept.
http = httpx2.Client(limits=httpx2.Limits(max_keepalive_connections=0))
