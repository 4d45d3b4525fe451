"""Decisions that several deployment steps share."""
