//! `graph`: a task and all that it requires, drawn.

use std::fmt::Write as _;

use kart_view::shape;

use super::draw::{Drawing, State};
use super::svg;
use crate::report::{self, Data};
use crate::{End, Session, params};

pub(crate) async fn graph(session: &Session) -> Result<(), End> {
    let roots = params::roots(session)?;
    let plan = session.runner.plan_all(roots).await?;
    let plan = plan.look(&session.workspace).await?;
    let expand = session.parsed.get::<u32>("expand").unwrap_or(60) as usize;
    let format = session.parsed.get::<String>("format");
    let format = if session.out.is_json {
        "json"
    } else {
        format.as_deref().unwrap_or("mermaid")
    };
    let text = match format {
        "dot" => dot(&Drawing::of(&plan, expand)),
        "json" => {
            session.out.json(&shape::graph(&plan));
            return Ok(());
        }
        "svg" => svg::draw(&Drawing::of(&plan, expand)),
        "html" => report::page(&Data::of_plan(session, &plan)),
        _ => mermaid(&Drawing::of(&plan, expand)),
    };
    session.out.text(&text);
    Ok(())
}

fn dot(drawing: &Drawing) -> String {
    let mut text = String::from(
        "digraph kart {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n",
    );
    for (at, node) in drawing.nodes.iter().enumerate() {
        let label = node
            .label
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', " ");
        let _ = writeln!(
            text,
            "  n{at} [label=\"{label}\", fillcolor=\"{}\"];",
            svg::fill(node.state)
        );
    }
    for ((from, to), count) in &drawing.edges {
        let label = if *count > 1 {
            format!(" [label=\"{count}\"]")
        } else {
            String::new()
        };
        let _ = writeln!(text, "  n{from} -> n{to}{label};");
    }
    text.push_str("}\n");
    text
}

fn mermaid(drawing: &Drawing) -> String {
    let mut text = String::from("flowchart LR\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        // Mermaid reads entities, and takes these characters for markup.
        let label: String = node
            .label
            .chars()
            .map(|c| match c {
                '"' => "#quot;".to_owned(),
                '<' => "#lt;".to_owned(),
                '>' => "#gt;".to_owned(),
                '#' => "#35;".to_owned(),
                '`' => "#96;".to_owned(),
                c if c.is_control() => " ".to_owned(),
                c => c.to_string(),
            })
            .collect();
        let class = match node.state {
            State::Complete => "complete",
            State::Partly => "partly",
            State::Missing => "missing",
            State::Unasked => "unasked",
        };
        let _ = writeln!(text, "    n{at}[\"{label}\"]:::{class}");
    }
    for ((from, to), count) in &drawing.edges {
        let label = if *count > 1 {
            format!("|{count}|")
        } else {
            String::new()
        };
        let _ = writeln!(text, "    n{from} -->{label} n{to}");
    }
    for (class, state) in [
        ("complete", State::Complete),
        ("partly", State::Partly),
        ("missing", State::Missing),
        ("unasked", State::Unasked),
    ] {
        if drawing.nodes.iter().any(|node| node.state == state) {
            let _ = writeln!(
                text,
                "    classDef {class} fill:{},stroke:#444,color:#111",
                svg::fill(state)
            );
        }
    }
    text
}
