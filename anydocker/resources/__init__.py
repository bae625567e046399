"""One file for each kind of object: its namespace, its handle. No bytes are parsed here."""
