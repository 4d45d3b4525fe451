"""Handles what a release's own flow cannot: executions that died, alarms after success, events that were lost."""
