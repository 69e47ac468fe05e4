"""Plots as SVG, drawn here and now, that follow the page's colours; they stand without a script.

    axis      values to places, with ticks that can be read
    picture   the frame around a plot, its figure on the page, legends
    plot      points and lines between two axes
    lanes     what ran when, side by side
    parallel  every trial as a line across the parameters
    surface   a value over two parameters
    interval  estimates with their intervals, one below the other
    matrix    a confusion matrix, as a table of coloured cells

No library draws them. plotly 7 puts 4.8 MB of script into every page and draws nothing where scripts are off.
matplotlib 3.11 takes 1.4 s of CPU for twenty small plots, 0.5 s of them to load (a whole page of ours: 0.06 s), and its
SVG is fixed to one background. `page/script.js` adds tooltips and zoom.
"""
