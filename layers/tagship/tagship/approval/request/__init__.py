"""Requests approval: mail and Slack messages with each approver's own link."""
