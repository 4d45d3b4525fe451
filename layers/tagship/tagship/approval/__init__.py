"""The approval room: the signed link, who counts, the page and the mail."""
