//! Tokens to data. Syntax errors are noted here; whether what was written makes sense is `check`'s to say.

pub(crate) mod args;
pub(crate) mod func;
pub(crate) mod param;
pub(crate) mod path;

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Token, token};

use crate::diag::Diag;
use crate::names;

/// Reads `key`, `key = value` and `key(...)` between commas. After an error it goes on behind the next comma, so that one
/// mistake hides no other.
fn each_option(
    input: ParseStream<'_>,
    diag: &mut Diag,
    mut read: impl FnMut(&Ident, ParseStream<'_>, &mut Diag) -> syn::Result<()>,
) {
    while !input.is_empty() {
        let key = input
            .call(Ident::parse_any)
            .map_err(|_| input.error("expected an option: `key` or `key = value`"));
        let option = key.and_then(|key| {
            read(&key, input, diag)?;
            if input.is_empty() || input.peek(Token![,]) {
                Ok(())
            } else {
                Err(input.error(format!("expected `,` after the option `{key}`")))
            }
        });
        if let Err(error) = option {
            diag.push(error);
            skip_to_comma(input);
        }
        // The loop has stopped before a comma or at the end, so this cannot fail.
        let _: syn::Result<Option<Token![,]>> = input.parse();
    }
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _: syn::Result<proc_macro2::TokenTree> = input.parse();
    }
}

/// The value of `key = value`.
fn value<T: Parse>(key: &Ident, input: ParseStream<'_>, example: &str) -> syn::Result<T> {
    if !input.peek(Token![=]) {
        let message = format!("`{key}` takes a value: `{example}`");
        return Err(syn::Error::new_spanned(key, message));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() {
        let message = format!("the value of `{key}` is missing: `{example}`");
        return Err(syn::Error::new_spanned(key, message));
    }
    let at = input.cursor().token_stream();
    input.parse().map_err(|_| {
        let first = at.into_iter().next();
        let message = format!("not a value of `{key}`: expected one like `{example}`");
        syn::Error::new_spanned(first, message)
    })
}

/// A word that stands alone.
fn flag(key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if input.peek(Token![=]) || input.peek(token::Paren) {
        return Err(input.error(format!("`{key}` stands alone: it takes no value")));
    }
    Ok(())
}

/// Fills a slot that may be filled once.
fn set<T>(slot: &mut Option<T>, key: &Ident, value: T, diag: &mut Diag) {
    if slot.is_some() {
        diag.error(key, format!("the option `{key}` is given twice"));
    } else {
        *slot = Some(value);
    }
}

fn unknown(key: &Ident, known: &[&str]) -> syn::Error {
    let text = key.to_string();
    let meant = names::nearest(&text, known)
        .map(|meant| format!("; did you mean `{meant}`?"))
        .unwrap_or_default();
    let message = format!(
        "unknown option `{text}`{meant} (there are {})",
        names::listed(known)
    );
    syn::Error::new_spanned(key, message)
}
