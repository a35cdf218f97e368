"""Recordings, the units cut from them, and scenes mixed from units."""
