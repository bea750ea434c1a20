//! The template of `path = "..."` in pieces.

/// A piece of a template, not yet resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(String),
    Placeholder(String),
}

/// `"x/{day}.csv"` → `Literal("x/")`, `Placeholder("day")`, `Literal(".csv")`
pub(crate) fn split(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    loop {
        let (literal, after) = match rest.split_once('{') {
            Some((literal, after)) => (literal, Some(after)),
            None => (rest, None),
        };
        if literal.contains('}') {
            return Err("a `}` in the path closes nothing: a placeholder is `{name}`".to_owned());
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        let Some(after) = after else {
            return Ok(pieces);
        };
        let Some((name, after)) = after.split_once('}') else {
            return Err("a `{` in the path is not closed: a placeholder is `{name}`".to_owned());
        };
        if name.contains('{') {
            return Err("a `{` in the path is not closed: a placeholder is `{name}`".to_owned());
        }
        pieces.push(Piece::Placeholder(name.to_owned()));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_come_apart() {
        let pieces = split("x/{day}{key}.csv").expect("a template");
        let expected = [
            Piece::Literal("x/".to_owned()),
            Piece::Placeholder("day".to_owned()),
            Piece::Placeholder("key".to_owned()),
            Piece::Literal(".csv".to_owned()),
        ];
        assert_eq!(pieces, expected);
        for bad in ["{", "}", "a{b", "a}b", "{{x}}", "{a{b}}"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
