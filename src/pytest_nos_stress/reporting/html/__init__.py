"""Reports for people: the HTML report of a run, the index of a session, and static pictures.

``page`` renders one self-contained HTML file, ``index`` the list of a session's runs, and ``images`` an SVG or
PNG of the main charts. ``chart_data`` computes the data of all charts from the records. Apache ECharts 6.1.0
draws the charts; ``assets`` has it as published, compressed, with its licence. Nothing here is imported before a
run has ended.
"""
