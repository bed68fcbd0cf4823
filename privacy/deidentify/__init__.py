"""From a scanner's DICOM object to one that names nobody: rebuilt, never scrubbed.

Nothing is deleted from the source. A new object is made from an allow-list, its values are
constrained one by one, and an independent second check compares it with the table of DICOM
PS3.15 Annex E before anybody gets it. What cannot be decided is an error, never a pass.
"""
