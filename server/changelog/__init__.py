"""The change log: every write to a synced table is in it, in the order of commits, whoever wrote."""
