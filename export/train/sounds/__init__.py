"""Sounds and voices that are rendered: numpy, a General MIDI soundfont, and two speech synthesizers."""
