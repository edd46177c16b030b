"""Tables, verdicts and figures from the results.h5 files of Tandem."""

__version__ = "0.1.0"
