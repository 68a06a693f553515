"""What people look at after a run: an HTML report of a run, the index of a session, static pictures.

``page`` renders one self-contained HTML file, ``index`` the list of a session's runs, ``pictures`` an SVG or a
PNG of the main charts. ``series`` computes the data of all charts from the records, ``findings`` the sentences
that say what went wrong, when and for whom. Charts are drawn by Apache ECharts 6.1.0, which lies in ``assets`` as
published, compressed, with its licence. Nothing of this is imported before a run has ended.
"""
