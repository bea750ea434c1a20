//! The parameters of the function and their helper attributes, which are taken off.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, FnArg, Meta, Pat, PatType, PathArguments, Token, Type};

use super::{each_option, flag, set, unknown, value};
use crate::diag::Diag;
use crate::model::{Form, Param, Plain, PlainKind, Role};
use crate::names;

/// Takes the helper attributes and docs off the parameters and says what each parameter is.
pub(crate) fn take(inputs: &mut Punctuated<FnArg, Token![,]>, diag: &mut Diag) -> Vec<Param> {
    inputs
        .iter_mut()
        .filter_map(|input| match input {
            FnArg::Typed(input) => {
                let (helpers, docs) = take_attributes(&mut input.attrs);
                let role = role(&helpers, diag);
                name(input, diag).map(|ident| Param {
                    name: names::plain(&ident),
                    ident,
                    form: form(&input.ty),
                    ty: (*input.ty).clone(),
                    docs,
                    role,
                })
            }
            FnArg::Receiver(receiver) => {
                take_attributes(&mut receiver.attrs);
                None
            }
        })
        .collect()
}

fn take_attributes(attrs: &mut Vec<Attribute>) -> (Vec<Attribute>, Vec<Attribute>) {
    let mut helpers = Vec::new();
    let mut docs = Vec::new();
    for attr in std::mem::take(attrs) {
        let path = attr.path();
        if path.is_ident("doc") {
            docs.push(attr);
        } else if names::HELPERS.iter().any(|helper| path.is_ident(helper)) {
            helpers.push(attr);
        } else {
            attrs.push(attr);
        }
    }
    (helpers, docs)
}

/// Rule: a parameter is `x` or `mut x`, for its name becomes a field.
fn name(input: &PatType, diag: &mut Diag) -> Option<Ident> {
    match &*input.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.ident.clone()),
        Pat::Wild(pat) => {
            diag.error(pat, "a task's parameter needs a name: write `_name`");
            None
        }
        pat => {
            diag.error(
                pat,
                "a task's parameter needs a name: give it one and destructure in the body",
            );
            None
        }
    }
}

/// Rule: a parameter is exactly one of plain, required, resource and context.
fn role(helpers: &[Attribute], diag: &mut Diag) -> Role {
    let mut roles = helpers.iter().map(|attr| {
        let role = one_role(attr, diag);
        (attr, role)
    });
    let Some((first, role)) = roles.next() else {
        return Role::Plain(Plain {
            default: None,
            kind: PlainKind::Significant,
        });
    };
    let others: Vec<&Attribute> = roles.map(|(attr, _)| attr).collect();
    for other in others {
        let (first, other_path) = (first.path(), other.path());
        let message = if first == other_path {
            let name = names::tidy(other_path);
            format!("`#[{name}]` is given twice; put everything into one")
        } else {
            let (first, other) = (names::tidy(first), names::tidy(other_path));
            format!(
                "a parameter is one of `param`, `requires`, `resource` and `context`: this one is `#[{first}]` already, so take `#[{other}]` off"
            )
        };
        diag.error(other_path, message);
    }
    role
}

fn one_role(attr: &Attribute, diag: &mut Diag) -> Role {
    let path = attr.path();
    if path.is_ident("requires") {
        return requires(attr, diag);
    }
    if path.is_ident("param") {
        return Role::Plain(plain(attr, diag));
    }
    if !matches!(attr.meta, Meta::Path(_)) {
        let name = names::tidy(path);
        diag.error(&attr.meta, format!("`#[{name}]` takes no arguments"));
    }
    if path.is_ident("resource") {
        Role::Resource
    } else {
        Role::Context
    }
}

/// Rule: `#[requires]` stands alone or holds one expression.
fn requires(attr: &Attribute, diag: &mut Diag) -> Role {
    let list = match &attr.meta {
        Meta::Path(_) => return Role::Dep,
        Meta::NameValue(meta) => {
            diag.error(
                meta,
                "write the required tasks in parentheses: `#[requires(Clean { day })]`",
            );
            return Role::Dep;
        }
        Meta::List(list) => list,
    };
    if list.tokens.is_empty() {
        diag.error(
            &attr.meta,
            "`#[requires()]` names no task: write `#[requires(EXPR)]`, or `#[requires]` to let the caller choose",
        );
        return Role::Dep;
    }
    let exprs = attr.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated);
    match exprs {
        Ok(exprs) if exprs.len() == 1 => {
            return Role::Requires(exprs.into_iter().map(Expr::into_token_stream).collect());
        }
        Ok(exprs) => {
            let rest: Punctuated<Expr, Token![,]> = exprs.into_iter().skip(1).collect();
            diag.error(
                rest,
                "`#[requires]` takes one expression: put several tasks into a tuple or a collection",
            );
        }
        Err(error) => diag.push(error),
    }
    Role::Dep
}

/// Rule: `#[param(...)]` knows `default = EXPR`, `insignificant` and `secret`.
fn plain(attr: &Attribute, diag: &mut Diag) -> Plain {
    const KNOWN: [&str; 3] = ["default", "insignificant", "secret"];
    let mut default: Option<TokenStream> = None;
    let mut insignificant: Option<Ident> = None;
    let mut secret: Option<Ident> = None;
    let tokens = match &attr.meta {
        Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    if tokens.is_empty() {
        let known = names::listed(&KNOWN);
        diag.error(
            &attr.meta,
            format!("`#[param]` says nothing here: leave it out, or write {known} in parentheses"),
        );
    }
    let parser = |input: ParseStream<'_>| {
        each_option(input, diag, |key, input, diag| {
            match key.to_string().as_str() {
                "default" => {
                    let expr: Expr = value(key, input, "default = 100")?;
                    set(&mut default, key, expr.into_token_stream(), diag);
                }
                "insignificant" => {
                    flag(key, input)?;
                    set(&mut insignificant, key, key.clone(), diag);
                }
                "secret" => {
                    flag(key, input)?;
                    set(&mut secret, key, key.clone(), diag);
                }
                _ => return Err(unknown(key, &KNOWN)),
            }
            Ok(())
        });
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        diag.push(error);
    }
    let kind = match (insignificant, secret) {
        (Some(_), Some(secret)) => {
            diag.error(
                secret,
                "a secret parameter is part of the task's identity: write `secret` or `insignificant`, not both",
            );
            PlainKind::Secret
        }
        (Some(_), None) => PlainKind::Insignificant,
        (None, Some(_)) => PlainKind::Secret,
        (None, None) => PlainKind::Significant,
    };
    Plain { default, kind }
}

/// `&[T]` → `Form::Slice(T)`; a type that came through a `macro_rules` variable is looked into.
fn form(ty: &Type) -> Form {
    let Type::Reference(reference) = peel(ty) else {
        return Form::Owned;
    };
    match peel(&reference.elem) {
        Type::Slice(slice) => Form::Slice(slice.elem.clone()),
        Type::Path(path) if path.qself.is_none() => match path.path.segments.last() {
            Some(last) if path.path.is_ident("str") && last.arguments.is_empty() => Form::Str,
            Some(last) if last.ident == "Path" && matches!(last.arguments, PathArguments::None) => {
                Form::Path
            }
            _ => Form::Ref(reference.elem.clone()),
        },
        _ => Form::Ref(reference.elem.clone()),
    }
}

/// The type within parentheses and invisible groups.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        other => other,
    }
}
