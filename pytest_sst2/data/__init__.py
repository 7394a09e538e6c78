"""SST-2 from the Hub, a folder or the pocket set, and the rows that a recipe draws from it.

- ``sources``: loads the data set that ``--sst2-data`` names. Start here.
- ``hub_copies``: finds SST-2 in the caches of other repositories and of ``datasets``.
- ``splits``: draws the training and evaluation rows of a recipe by seed.
- ``folder_reader``: reads the data set of a folder; ``folders`` decides which of its files are the train and the
  validation split.
- ``readers``: reads TSV, CSV, JSON and Parquet files and checks every row; ``arrow`` validates Parquet and Arrow data.
- ``row_format``: which columns are sentence and label, and what the labels mean.
- ``pocket``: the 1,200 sentences in the package (``pocket.tsv``), which are not SST-2.
- ``sentence_lookup``: finds the sentences of a record for reports.
"""
