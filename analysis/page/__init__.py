"""One HTML file that needs nothing else: its style, its script, its tables, and words for numbers.

    words     metrics, values, differences and times as people read them
    html      text from data made harmless, and the small pieces of markup
    palette   colours for light and dark, and which text stands on which of them
    style     the style sheet, made from the palette
    tables    one table as HTML, CSV or Markdown
    document  the page around its sections

`script.js` is put into every page as it is: tooltips, sorting, enlarging, copying. Without it the page reads the same.
"""
