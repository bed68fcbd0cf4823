"""From a folder of a scanner's DICOM files to what may be worked with: files or a cohort.

The de-identification itself is ``privacy.deidentify``; here it is run over many files, by workers
that may be killed, with a record of every decision and a way to go on after a crash.
"""
