"""The import path of the seed document. Everything here is ``pytest_nos_stress``'s."""
