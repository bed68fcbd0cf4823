"""From a hospital's files to a cohort of kind ``"real"``.

A folder of images with a table comes in through :func:`bussynth.ingest.folder.ingest_folder`;
other origins yield :class:`bussynth.ingest.source.SourceImage` records to the same writer.
"""
