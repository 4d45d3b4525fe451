"""From facts to everybody who should know; nothing here is asked by a release, and nothing here can fail one."""
