//! The pieces of the pages: scripts, styles and the marks that stand for outcomes. A page puts them before its own.

/// Draws graphs, timelines, tables and panels of a model of a run. One script, without what begins it.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/dom.js"),
    include_str!("../assets/model.js"),
    include_str!("../assets/layout.js"),
    include_str!("../assets/edges.js"),
    include_str!("../assets/graph.js"),
    include_str!("../assets/canvas.js"),
    include_str!("../assets/timeline.js"),
    include_str!("../assets/table.js"),
    include_str!("../assets/panel.js"),
    include_str!("../assets/sections.js"),
    include_str!("../assets/frame.js"),
);

/// How all of that looks, in light and dark.
pub const STYLE: &str = include_str!("../assets/view.css");

/// The marks, to stand once in the body of a page.
pub const MARKS: &str = include_str!("../assets/marks.svg");

/// A page with the marks of `parts` replaced, in one pass: what is put in may itself look like a mark.
#[must_use]
pub fn filled(page: &str, parts: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((at, (mark, text))) = parts
        .iter()
        .filter_map(|part| Some((rest.find(part.0)?, part)))
        .min_by_key(|(at, _)| *at)
    {
        filled.push_str(&rest[..at]);
        filled.push_str(text);
        rest = &rest[at + mark.len()..];
    }
    filled.push_str(rest);
    filled
}
