"""`make bench`: how long a release takes here, what it costs, what its functions need.

docs/contributing/performance.md explains it."""
