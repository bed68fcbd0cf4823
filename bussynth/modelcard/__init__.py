"""Model cards: what a generator is, what it learned from and what was measured of it.

A card is made of files alone: the model's own record, an evaluation, an audit, and the words of
whoever publishes it. What no file holds is said to be unknown.
"""
