"""How fast anydocker is beside the other clients, and beside what the machine allows."""
