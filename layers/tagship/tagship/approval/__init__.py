"""Approvals: the signed link, the quorum, the page and the mail."""
