"""What server and device share: rows, intents, rules and the wire. No I/O, no clock, no chance."""
