"""Plots as SVG, drawn here and now, that follow the page's colours; they stand without a script.

    axis      values to places, with ticks that can be read
    picture   the frame around a plot, its figure on the page, legends
    plot      points and lines between two axes
    lanes     what ran when, side by side
    parallel  every trial as a line across the parameters
    surface   a value over two parameters
    interval  estimates with their intervals, one below the other
    matrix    a confusion matrix, as a table of coloured cells

No library draws them. plotly's script makes every page 4.8 MB and draws nothing where scripts are off. matplotlib needs
seconds for the plots of a page, and its SVG is fixed to one background. `page/script.js` adds tooltips and zoom.
"""
