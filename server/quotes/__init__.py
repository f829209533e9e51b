"""Negotiated quotes: asked for, offered, countered, accepted, ordered."""
