"""Import path of the seed document. Its module has the same objects as ``pytest_nos_stress``."""
