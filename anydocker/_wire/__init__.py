"""Sans-IO: bytes in, values out. Nothing here awaits, reads a clock, opens a socket or looks at the environment."""
