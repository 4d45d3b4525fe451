"""What looks at releases from outside of their flow: executions that died, alarms after success, events that were lost."""
