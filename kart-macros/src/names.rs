//! Names and how they are written: case conversion, reserved names, near misses, tidy token text, spans.

use proc_macro2::{Delimiter, Ident, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;

/// The attributes of parameters that belong to `#[task]` and never reach the compiler.
pub(crate) const HELPERS: [&str; 4] = ["param", "requires", "resource", "context"];

/// Every name the prelude gives to a type, trait or variant: a struct of that name would change the meaning
/// of the rest of its module.
const PRELUDE: [&str; 43] = [
    "AsMut",
    "AsRef",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Box",
    "Clone",
    "Copy",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
];

/// Whether a struct of this name would shadow a name of the prelude.
pub(crate) fn is_prelude(name: &str) -> bool {
    PRELUDE.contains(&name)
}

/// An identifier's text without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

/// `run_task_2` → `RunTask2`: words end at `_`, each begins with a capital, the rest stays as it is.
pub(crate) fn upper_camel(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut chars = word.chars();
            let first = chars.next().into_iter().flat_map(char::to_uppercase);
            first.chain(chars)
        })
        .collect()
}

/// Whether `name` can name a type: an identifier that is no keyword and begins with a capital.
pub(crate) fn is_type_name(name: &str) -> bool {
    syn::parse_str::<Ident>(name).is_ok()
        && name.starts_with(char::is_uppercase)
        && !name.contains('_')
}

/// The struct's name at `ident`'s place: nameable by the user, and an error or a warning about it is shown there,
/// once (a token wholly at the user's span is reported a second time by `dead_code`).
pub(crate) fn struct_ident(name: &str, ident: &Ident) -> Ident {
    Ident::new(name, ident.span().resolved_at(Span::call_site()))
}

/// A generated local variable, which no code of the user's can see.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The span of the first and of the last token: the compiler joins the two, which a macro can't on stable.
pub(crate) fn ends(tokens: &impl ToTokens) -> (Span, Span) {
    let mut tokens = tokens.to_token_stream().into_iter();
    let first = tokens
        .next()
        .map_or_else(Span::call_site, |token| token.span());
    let last = tokens.last().map_or(first, |token| token.span());
    (
        first.resolved_at(Span::mixed_site()),
        last.resolved_at(Span::mixed_site()),
    )
}

/// The same name at another place: what is wrong with it is reported there.
pub(crate) fn at(ident: &Ident, span: Span) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(ident.span().located_at(span));
    ident
}

/// The one of `known` that `name` was most likely meant to be: no more than half of it is to be changed.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let length = name.chars().count();
    known
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= length.max(candidate.chars().count()) / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, delete, replace or swap between two words.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(0);
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (i, a) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = None;
        for (j, b) in to.iter().enumerate() {
            let replaced = at(&row, j) + usize::from(a != *b);
            let mut cost = replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if last == Some(*b) && left == Some(a) {
                cost = cost.min(at(&before, j.saturating_sub(1)) + 1);
            }
            next.push(cost);
            left = Some(*b);
        }
        before = row;
        row = next;
        last = Some(a);
    }
    at(&row, to.len())
}

/// `` `a`, `b` `` for a message.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    quoted.join(", ")
}

/// Whether an expression speaks of the name, as an identifier or in a string such as `"{name}"`.
pub(crate) fn mentions(tokens: &TokenStream, name: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => plain(&ident) == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"))
        }
        TokenTree::Punct(_) => false,
    })
}

/// The text of a type or an expression as a person would write it.
pub(crate) fn tidy(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    tidy_into(&mut text, tokens.to_token_stream());
    text
}

fn tidy_into(text: &mut String, tokens: TokenStream) {
    // Whether the last token can end an operand, so that an operator after it has two sides.
    let mut operand = false;
    // Whether the last token was a punctuation mark that the next one is joined to.
    let mut joint = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => (" { ", " }"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                tidy_into(text, group.stream());
                text.push_str(close);
                (operand, joint) = (true, false);
            }
            TokenTree::Punct(punct) => {
                let mark = punct.as_char();
                let spaced = operand && !joint && "=+*/%|&-^".contains(mark);
                if spaced {
                    text.push(' ');
                }
                text.push(mark);
                let more = punct.spacing() == Spacing::Joint;
                let after_space = text.chars().rev().nth(1) == Some(' ')
                    || (joint && !matches!(mark, ':' | '.' | '<' | '>'));
                let colon = mark == ':' && !joint;
                if !more && (matches!(mark, ',' | ';') || colon || (after_space && operand)) {
                    text.push(' ');
                }
                if mark == '>' && joint && !text.ends_with(">>") {
                    text.push(' ');
                }
                operand = matches!(mark, '>' | '?') || (more && operand);
                joint = more;
            }
            word @ (TokenTree::Ident(_) | TokenTree::Literal(_)) => {
                if operand && !joint && !text.is_empty() && !text.ends_with(' ') {
                    text.push(' ');
                }
                text.push_str(&word.to_string());
                let keyword = matches!(&word, TokenTree::Ident(i) if ["dyn", "mut", "move", "as"].iter().any(|k| i == k));
                if keyword {
                    text.push(' ');
                }
                (operand, joint) = (!keyword, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_become_types() {
        for (function, expected) in [
            ("agg", "Agg"),
            ("run_task_with_wait", "RunTaskWithWait"),
            ("load_1", "Load1"),
            ("_private", "Private"),
            ("straße_öl", "StraßeÖl"),
            ("loadJSON", "LoadJSON"),
        ] {
            assert_eq!(upper_camel(function), expected);
        }
        assert!(is_type_name("Load1"));
        for bad in ["Self", "1", "", "lower", "With_Underscore"] {
            assert!(!is_type_name(bad), "{bad}");
        }
    }

    #[test]
    fn misspelt_names_find_the_one_that_was_meant() {
        let known = ["retries", "version", "path", "priority"];
        assert_eq!(nearest("retry", &known), Some("retries"));
        assert_eq!(nearest("ptah", &known), Some("path"));
        assert_eq!(nearest("retires", &known), Some("retries"));
        assert_eq!(nearest("pth", &known), Some("path"));
        assert_eq!(nearest("zebra", &known), None);
    }

    #[test]
    fn mentions_are_found_in_code_and_in_strings() {
        let tokens: TokenStream = "Load { day, at: format!(\"{hour:02}-{r}\") }"
            .parse()
            .expect("tokens");
        assert!(mentions(&tokens, "day"));
        assert!(mentions(&tokens, "hour"));
        assert!(mentions(&tokens, "r"));
        assert!(!mentions(&tokens, "minute"));
    }

    #[test]
    fn text_is_written_as_a_person_would() {
        for source in [
            "Vec<String>",
            "std::collections::BTreeMap<String, Vec<u8>>",
            "&str",
            "&[Option<(u8, i32)>]",
            "100",
            "1 + 2",
            "-1",
            "\"x\".to_string()",
            "Vec::new()",
            "fn(u8) -> u8",
            "Box<dyn Fn(u8)>",
            "!true",
            "a == b",
            "&[1, 2]",
        ] {
            let tokens: TokenStream = source.parse().expect("tokens");
            assert_eq!(tidy(&tokens), source);
        }
    }
}
