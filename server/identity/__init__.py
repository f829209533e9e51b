"""Who may use the server: users, roles, sessions, devices."""
