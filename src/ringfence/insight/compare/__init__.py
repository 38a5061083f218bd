"""Two networks: what became possible between them, what impossible, with a packet and the rules that decide for each."""
