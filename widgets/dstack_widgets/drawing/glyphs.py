"""The signs that widgets draw, in one place: a Unicode set and an ASCII set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Glyphs:
    """The signs of one set. Each is one cell wide unless its description says otherwise."""

    cursor: str
    """In the gutter, before the row under the cursor."""
    mark: str
    """In the gutter, before a selected row."""
    ascending: str
    """In a header: sorted upwards by this column."""
    descending: str
    """In a header: sorted downwards by this column."""
    more: str
    """In a header: columns are left out here, there is more to the right."""
    ellipsis: str
    """Where a text was cut."""
    dash: str
    """For "there is none"."""
    dot: str
    """Between the parts of a line, and before a note."""
    bullet: str
    """It is at work."""
    circle: str
    """It is not at work: it waits, starts, ends or has ended."""
    check: str
    """It is as it should be."""
    warning: str
    """It needs attention."""
    cross: str
    """It failed, or can't be used."""
    arrow: str
    """From the old value to the new one."""
    rule: str
    """A horizontal line, repeated."""
    bar_busy: str
    """A bar's segment: at work."""
    bar_idle: str
    """A bar's segment: ready and unused."""
    bar_starting: str
    """A bar's segment: on its way."""
    bar_ending: str
    """A bar's segment: going away."""
    bar_empty: str
    """A bar's segment: nothing there."""
    fills: str
    """Fillings that tell the parts of a bar apart, one character each."""
    axes: str
    """Of a chart: a value's mark, its axis, the corner, the axis of time and a mark on that."""
    solid: str
    """A line in the legend of a chart."""
    dotted: str
    """A dotted line in the legend of a chart."""
    spark: str
    """Levels of a sparkline from the lowest to the highest, one character each."""

    def sign(self, style: str) -> str:
        """The sign before what is said in a style of the palette."""
        return {"bad": self.cross, "warn": self.warning}.get(style, self.dot)


UNICODE = Glyphs(
    cursor="▸",
    mark="•",
    ascending="▲",
    descending="▼",
    more="»",
    ellipsis="…",
    dash="\N{EN DASH}",
    dot="·",
    bullet="●",
    circle="○",
    check="✓",
    warning="!",
    cross="✗",
    arrow="→",
    rule="─",
    bar_busy="█",
    bar_idle="░",
    bar_starting="▒",
    bar_ending="▚",
    bar_empty="·",
    fills="█▓▒░",
    axes="┤│└─┬",
    solid="━",
    dotted="┄",
    spark="▁▂▃▄▅▆▇█",
)
"""For terminals with UTF-8."""

ASCII = Glyphs(
    cursor=">",
    mark="*",
    ascending="^",
    descending="v",
    more=">",
    ellipsis="~",
    dash="-",
    dot="-",
    bullet="*",
    circle="o",
    check="+",
    warning="!",
    cross="x",
    arrow=">",
    rule="-",
    bar_busy="#",
    bar_idle="-",
    bar_starting="+",
    bar_ending="%",
    bar_empty=".",
    fills="#=+-",
    axes="||+-+",
    solid="*",
    dotted=".",
    spark="_.-=*#",
)
"""For every other terminal, and for `--ascii`."""
