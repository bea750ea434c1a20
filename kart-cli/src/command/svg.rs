//! A drawing as a picture: layers from left to right, each in the order of what it is joined to.

use std::fmt::Write as _;

use super::draw::{Drawing, State};

const HEIGHT: usize = 30;
const ROW: usize = 46;
const GAP: usize = 70;
const MARGIN: usize = 20;
/// The width of a character of the label, on average.
const CHAR: usize = 8;
/// More characters of a label are cut.
const LABEL: usize = 48;

/// The colour of a state.
pub(super) fn fill(state: State) -> &'static str {
    match state {
        State::Complete => "#b7e4c7",
        State::Partly => "#ffe8a1",
        State::Missing => "#f8c9c4",
        State::Unasked => "#e5e7eb",
    }
}

fn mark(state: State) -> &'static str {
    match state {
        State::Complete => "✓",
        State::Partly => "~",
        State::Missing => "✗",
        State::Unasked => "·",
    }
}

struct Place {
    x: usize,
    y: usize,
    width: usize,
    text: String,
}

pub(super) fn draw(drawing: &Drawing) -> String {
    let (places, width, height) = places(drawing);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for ((from, to), count) in &drawing.edges {
        let (from, to) = (&places[*from], &places[*to]);
        let (x1, y1) = (from.x + from.width, from.y + HEIGHT / 2);
        let (x2, y2) = (to.x, to.y + HEIGHT / 2);
        let bend = GAP * 2 / 3;
        let _ = writeln!(
            svg,
            "<path d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#888\"/>",
            x1 + bend,
            x2.saturating_sub(bend),
        );
        if *count > 1 {
            let (x, y) = (usize::midpoint(x1, x2), usize::midpoint(y1, y2));
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\" fill=\"#555\">{count}</text>",
                y.saturating_sub(4)
            );
        }
    }
    for (node, place) in drawing.nodes.iter().zip(&places) {
        let Place { x, y, width, text } = place;
        let _ = writeln!(
            svg,
            "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{}\" stroke=\"#444\"/>\
             <text x=\"{}\" y=\"{}\">{}</text></g>",
            escaped(&node.label),
            fill(node.state),
            x + 10,
            y + 20,
            escaped(text),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn places(drawing: &Drawing) -> (Vec<Place>, usize, usize) {
    let depth = drawing
        .nodes
        .iter()
        .map(|node| node.layer + 1)
        .max()
        .unwrap_or(0);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (at, node) in drawing.nodes.iter().enumerate() {
        layers[node.layer].push(at);
    }
    let mut places: Vec<Place> = drawing
        .nodes
        .iter()
        .map(|node| {
            let label: String = node.label.chars().take(LABEL).collect();
            let cut = if node.label.chars().count() > LABEL {
                "…"
            } else {
                ""
            };
            let text = format!("{} {label}{cut}", mark(node.state));
            Place {
                x: 0,
                y: 0,
                width: text.chars().count() * CHAR + 20,
                text,
            }
        })
        .collect();
    let rows = layers.iter().map(Vec::len).max().unwrap_or(0);
    let mut x = MARGIN;
    for layer in &mut layers {
        // Each near the middle of what it requires, which stands in the layers before.
        let middle = |node: usize| {
            let below: Vec<usize> = drawing
                .edges
                .keys()
                .filter(|(from, to)| *to == node && *from != node)
                .map(|(from, _)| places[*from].y)
                .collect();
            below.iter().sum::<usize>() / below.len().max(1)
        };
        layer.sort_by_cached_key(|node| middle(*node));
        let top = MARGIN + (rows - layer.len()) * ROW / 2;
        for (row, node) in layer.iter().enumerate() {
            places[*node].x = x;
            places[*node].y = top + row * ROW;
        }
        let widest = layer
            .iter()
            .map(|node| places[*node].width)
            .max()
            .unwrap_or(0);
        x += widest + GAP;
    }
    let width = x.saturating_sub(GAP) + MARGIN;
    (places, width, MARGIN * 2 + rows * ROW)
}

/// Text within XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
