"""Slack: messages, webhooks, bots and threads."""
