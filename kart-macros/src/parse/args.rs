//! The options of `#[task(...)]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::{LitInt, LitStr, Path, Type, token};

use super::{each_option, flag, set, unknown, value};
use crate::diag::Diag;
use crate::model::Options;

const KNOWN: [&str; 12] = [
    "version", "name", "struct", "path", "format", "retries", "backoff", "timeout", "priority",
    "uses", "external", "crate",
];

/// Reads the options; what could not be read is left at its default, and an error is noted.
pub(crate) fn parse(tokens: TokenStream, diag: &mut Diag) -> Options {
    let mut options = Options::default();
    let parser = |input: ParseStream<'_>| {
        each_option(input, diag, |key, input, diag| {
            option(&mut options, key, input, diag)
        });
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        diag.push(error);
    }
    options
}

fn option(
    options: &mut Options,
    key: &Ident,
    input: ParseStream<'_>,
    diag: &mut Diag,
) -> syn::Result<()> {
    match key.to_string().as_str() {
        "version" => {
            let version = number(key, input, "version = 2", 1..=u32::MAX)?;
            set(&mut options.version, key, version, diag);
        }
        "retries" => {
            let retries = number(key, input, "retries = 3", 0..=u32::MAX)?;
            set(&mut options.retries, key, retries, diag);
        }
        "priority" => {
            let priority = number(key, input, "priority = 10", i32::MIN..=i32::MAX)?;
            set(&mut options.priority, key, priority, diag);
        }
        "backoff" => {
            let backoff = duration(key, input, "backoff = \"2s\"")?;
            set(&mut options.backoff, key, backoff, diag);
        }
        "timeout" => {
            let timeout = duration(key, input, "timeout = \"45m\"")?;
            set(&mut options.timeout, key, timeout, diag);
        }
        "uses" => {
            let limits = uses(key, input, diag)?;
            set(&mut options.uses, key, limits, diag);
        }
        "external" => {
            flag(key, input)?;
            set(&mut options.external, key, key.clone(), diag);
        }
        _ => return naming(options, key, input, diag),
    }
    Ok(())
}

/// The options that name something.
fn naming(
    options: &mut Options,
    key: &Ident,
    input: ParseStream<'_>,
    diag: &mut Diag,
) -> syn::Result<()> {
    match key.to_string().as_str() {
        "name" => {
            let name: LitStr = value(key, input, "name = \"etl/clean/Clean\"")?;
            set(&mut options.name, key, name, diag);
        }
        "path" => {
            let path: LitStr = value(key, input, "path = \"clean/{day}.json\"")?;
            set(&mut options.path, key, path, diag);
        }
        "struct" => {
            let name: Ident = value(key, input, "struct = CleanTable")?;
            set(&mut options.struct_name, key, name, diag);
        }
        "format" => {
            let format: Type = value(key, input, "format = kart::format::Json")?;
            set(&mut options.format, key, format, diag);
        }
        "crate" => {
            let path: Path = value(key, input, "crate = ::kart")?;
            set(&mut options.krate, key, path, diag);
        }
        _ => return Err(unknown(key, &KNOWN)),
    }
    Ok(())
}

/// Rule: a number is a literal within its range.
fn number<N>(
    key: &Ident,
    input: ParseStream<'_>,
    example: &str,
    range: RangeInclusive<N>,
) -> syn::Result<N>
where
    N: std::str::FromStr + std::fmt::Display + PartialOrd,
    N::Err: std::fmt::Display,
{
    let literal: LitInt = value(key, input, example)?;
    match literal.base10_parse::<N>() {
        Ok(number) if range.contains(&number) && literal.suffix().is_empty() => Ok(number),
        _ => {
            let (start, end) = (range.start(), range.end());
            let message = format!("`{key}` is a whole number from {start} to {end}");
            Err(syn::Error::new_spanned(literal, message))
        }
    }
}

/// Rule: a duration is a string such as `"1h 30m"`, and longer than nothing.
fn duration(key: &Ident, input: ParseStream<'_>, example: &str) -> syn::Result<Duration> {
    let literal: LitStr = value(key, input, example)?;
    match humantime::parse_duration(&literal.value()) {
        Ok(duration) if duration > Duration::ZERO => Ok(duration),
        Ok(_) => {
            let message = format!("`{key}` must be longer than zero; leave the option out instead");
            Err(syn::Error::new_spanned(literal, message))
        }
        Err(error) => {
            let message = format!(
                "not a duration ({error}): write one like \"300ms\", \"2s\", \"45m\" or \"1h 30m\""
            );
            Err(syn::Error::new_spanned(literal, message))
        }
    }
}

/// Rule: `uses(limit = units, ...)`, at least one limit, at least one unit, each limit once.
fn uses(key: &Ident, input: ParseStream<'_>, diag: &mut Diag) -> syn::Result<Vec<(Ident, u32)>> {
    const EXAMPLE: &str = "uses(gpu = 1)";
    if !input.peek(token::Paren) {
        let message = format!("`uses` takes limits and how many units of each: `{EXAMPLE}`");
        return Err(syn::Error::new_spanned(key, message));
    }
    let content;
    syn::parenthesized!(content in input);
    if content.is_empty() {
        diag.error(key, format!("`uses` names no limit: `{EXAMPLE}`"));
    }
    let mut limits: Vec<(Ident, u32)> = Vec::new();
    each_option(&content, diag, |limit, input, diag| {
        let example = format!("{limit} = 1");
        let units = number(limit, input, &example, 1..=u32::MAX)?;
        if limits.iter().any(|(other, _)| other == limit) {
            diag.error(limit, format!("the limit `{limit}` is named twice"));
        } else {
            limits.push((limit.clone(), units));
        }
        Ok(())
    });
    Ok(limits)
}
