"""Differential privacy for every patient: accounting, and what spends the budget.

Works on arrays, callables and torch modules; knows nothing of cohorts. The unit is a patient with
all images, and neighbouring data sets differ in one patient added or removed.
"""
