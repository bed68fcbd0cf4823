"""Identifiers planted in ultrasound objects, and what tools of de-identification leave of them."""
