"""The way to an engine: raw connections, one HTTP/1.1 exchange on each, and the pool of idle ones."""
