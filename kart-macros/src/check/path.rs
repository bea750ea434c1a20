//! The rules of `path` and `format`.

use std::fmt::Write as _;

use syn::LitStr;

use crate::diag::Diag;
use crate::model::{Format, Options, Param, PlainKind, Role, Segment};
use crate::names;
use crate::parse::path::{Piece, split};

/// Everything kart keeps for itself lies under this.
pub(super) const RESERVED: &str = "_kart";

/// The placeholders that every task has.
const BUILT_IN: [&str; 3] = ["key", "name", "ext"];

/// What an extension says about the format.
const FORMATS: [(&str, &str); 11] = [
    ("json", "Json"),
    ("jsonl", "JsonLines"),
    ("ndjson", "JsonLines"),
    ("txt", "Text"),
    ("bin", "Raw"),
    ("msgpack", "MessagePack"),
    ("mpk", "MessagePack"),
    ("csv", "Csv"),
    ("arrow", "ArrowIpc"),
    ("feather", "ArrowIpc"),
    ("parquet", "Parquet"),
];

/// The path in pieces; `None` where none was given or it is no template.
pub(crate) fn resolve(
    options: &Options,
    params: &[Param],
    diag: &mut Diag,
) -> Option<Vec<Segment>> {
    let literal = options.path.as_ref()?;
    let pieces = match split(&literal.value()) {
        Ok(pieces) => pieces,
        Err(message) => {
            diag.error(literal, message);
            return None;
        }
    };
    check_characters(literal, &pieces, diag);
    check_segments(literal, &pieces, diag);
    let segments = pieces.into_iter().map(|piece| match piece {
        Piece::Literal(text) => Segment::Literal(text),
        Piece::Placeholder(name) => placeholder(literal, &name, params, diag),
    });
    Some(segments.collect())
}

/// Rule: what stands between placeholders is safe on every store and in every shell.
fn check_characters(literal: &LitStr, pieces: &[Piece], diag: &mut Diag) {
    for piece in pieces {
        let Piece::Literal(text) = piece else {
            continue;
        };
        let bad = text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || "_.=,+@()/ -".contains(*c)));
        if let Some(bad) = bad {
            diag.error(
                literal,
                format!(
                    "{bad:?} cannot stand in a path: use letters, digits and `_ . = , + @ ( ) -`, with `/` between segments"
                ),
            );
        }
    }
}

/// Rule: no segment is empty, `.` or `..`, and the first is not kart's own.
fn check_segments(literal: &LitStr, pieces: &[Piece], diag: &mut Diag) {
    let shape = shape(pieces);
    if shape.is_empty() {
        diag.error(literal, "the path is empty");
    } else if shape.starts_with('/') || shape.ends_with('/') {
        diag.error(
            literal,
            "a path is relative to the workspace and names an object: no `/` at its start or end",
        );
    } else if shape.split('/').any(str::is_empty) {
        diag.error(literal, "the path has an empty segment: `//`");
    } else if let Some(dots) = shape.split('/').find(|part| matches!(*part, "." | "..")) {
        diag.error(
            literal,
            format!("`{dots}` cannot be a segment of a path: write where the output goes from the workspace on"),
        );
    } else if shape.starts_with(RESERVED) {
        diag.error(
            literal,
            "paths that begin with `_kart` are kept for kart itself",
        );
    }
}

/// The template's text with `{}` for each placeholder.
fn shape(pieces: &[Piece]) -> String {
    let mut shape = String::new();
    for piece in pieces {
        shape.push_str(match piece {
            Piece::Literal(text) => text,
            Piece::Placeholder(_) => "{}",
        });
    }
    shape
}

/// Rule: a placeholder is `{key}`, `{name}`, `{ext}` or a significant plain parameter that is no secret. A parameter named `name` or `ext` is
/// meant before the built-in one; one named `key` is refused, for losing the key from a path must not happen unnoticed.
fn placeholder(literal: &LitStr, name: &str, params: &[Param], diag: &mut Diag) -> Segment {
    let param = params.iter().find(|param| param.name == name);
    let problem = match param.map(|param| &param.role) {
        Some(_) if name == "key" => {
            "`{key}` is the task's key, but there is a parameter `key` too: rename the parameter"
                .to_owned()
        }
        Some(Role::Plain(plain)) if plain.kind == PlainKind::Secret => {
            format!("`{{{name}}}` is secret, and a path is shown to everybody")
        }
        Some(Role::Plain(plain)) if plain.kind == PlainKind::Insignificant => {
            format!("`{{{name}}}` is insignificant: one result would be stored under several paths")
        }
        Some(Role::Plain(_)) => return Segment::Param(name.to_owned()),
        Some(Role::Requires(_) | Role::Dep) => {
            format!("`{{{name}}}` is a required output: a path is made of plain parameters")
        }
        Some(Role::Resource | Role::Context) => {
            format!("`{{{name}}}` comes from the runner: a path is made of plain parameters")
        }
        None => match name {
            "key" => return Segment::Key,
            "name" => return Segment::Name,
            "ext" => return Segment::Extension,
            _ => unknown_placeholder(name, params),
        },
    };
    diag.error(literal, problem);
    Segment::Param(name.to_owned())
}

fn unknown_placeholder(name: &str, params: &[Param]) -> String {
    let mut known: Vec<&str> = params
        .iter()
        .filter(|param| {
            param
                .plain()
                .is_some_and(|plain| plain.kind == PlainKind::Significant)
        })
        .map(|param| param.name.as_str())
        .collect();
    known.extend(BUILT_IN);
    let mut message = format!("unknown placeholder `{{{name}}}`");
    if let Some(meant) = names::nearest(name, &known) {
        let _ = write!(message, "; did you mean `{{{meant}}}`?");
    }
    let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
    let _ = write!(message, " (there are {})", names::listed(&known));
    message
}

/// Rule: the extension names the format, or `format` does.
pub(crate) fn format(options: &Options, path: Option<&[Segment]>, diag: &mut Diag) -> Format {
    if let Some(given) = &options.format {
        return Format::Given(Box::new(given.clone()));
    }
    let (Some(literal), Some(path)) = (&options.path, path) else {
        return Format::Default;
    };
    let tail = match path.last() {
        Some(Segment::Extension) => return Format::Default,
        Some(Segment::Literal(tail)) => tail.as_str(),
        _ => "",
    };
    let file = tail.rsplit('/').next().unwrap_or(tail);
    let extension = file.rsplit_once('.').map(|(_, extension)| extension);
    let Some(extension) = extension.filter(|extension| !extension.is_empty()) else {
        diag.error(
            literal,
            "the path has no extension that names a format: add one, such as `.json`, or `format = TYPE`",
        );
        return Format::Default;
    };
    let known = FORMATS.iter().find(|(known, _)| *known == extension);
    if let Some((_, format)) = known {
        return Format::Known(format, literal.clone());
    }
    let known: Vec<&str> = FORMATS.iter().map(|(known, _)| *known).collect();
    let known = names::listed(&known);
    diag.error(
        literal,
        format!(
            "the extension `{extension}` names no format: add `format = TYPE`, or use one of {known}"
        ),
    );
    Format::Default
}
