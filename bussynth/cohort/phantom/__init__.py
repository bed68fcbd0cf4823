"""Phantoms: a physics-based simulator of B-mode breast ultrasound.

Speckle from random scatterers seen through a beam that widens away from its focus, layers of a
breast, lesions that shadow or enhance what lies behind them, and several machines. No image
belongs to a patient, so phantoms serve for demonstrations, tests and public pre-training.
"""
