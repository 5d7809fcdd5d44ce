"""The time of the import, which a user waits for before anything happens."""


def timeraw_import_hsicfast():
    return "import hsicfast"


def timeraw_import_numba_and_scipy_as_a_measure():
    return "import numba, scipy"
