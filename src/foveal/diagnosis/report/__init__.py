"""One offline HTML page about one run or several: ``gather`` reads, ``sections`` choose, ``page`` renders."""
