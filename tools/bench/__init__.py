"""`make bench`: how long a release takes here, what it costs, what its functions need. docs/performance.md explains it."""
