"""A phantom hospital: the files of scanners, with all that must not leave a hospital.

Tissue comes from the simulator of phantoms, patients from lists of invented names. Identifiers
stand where they stand in real life: in headers, private elements, overlays and pixels. So the whole
road from scanner files to a package can be walked, shown and tested without a patient.
"""
