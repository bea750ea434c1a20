//! The function, as it was written but for the helper attributes.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{quote, quote_spanned};

use crate::model::{Body, Func, Task};

/// `async fn f(#[requires(A { n })] a: u8, n: u8) { .. }` → `async fn f(a: u8, n: u8) { let _ = (&n,); .. }`
///
/// A parameter that only an expression uses is used, as far as the user can see: the borrow says so to the compiler.
pub(super) fn emit(task: &Task) -> TokenStream {
    let Func {
        attrs,
        vis,
        sig,
        body,
    } = &task.func;
    let Body::Block(brace, tokens) = body else {
        return TokenStream::new();
    };
    let (inner, statements) = split_inner(tokens.clone());
    let used = used(task);
    let span = brace.span.join();
    let block = quote_spanned!(span=> { #inner #used #statements });
    quote!(#(#attrs)* #vis #sig #block)
}

/// The parameters that an expression or the path uses.
fn used(task: &Task) -> Option<TokenStream> {
    let exprs = || task.params.iter().filter_map(requires_expr);
    let idents: Vec<TokenStream> = task
        .params
        .iter()
        .filter(|param| param.plain().is_some())
        .filter(|param| {
            task.path_holds(&param.name)
                || exprs().any(|expr| crate::names::mentions(expr, &param.name))
        })
        .map(|param| {
            let ident = &param.ident;
            quote!(&#ident,)
        })
        .collect();
    let first = idents.first()?;
    let rest = idents.iter().skip(1);
    Some(quote!(let _ = (#first #(#rest)*);))
}

fn requires_expr(param: &crate::model::Param) -> Option<&TokenStream> {
    match &param.role {
        crate::model::Role::Requires(expr) => Some(expr),
        _ => None,
    }
}

/// `#![..]` at the top of a body must stay at the top.
fn split_inner(body: TokenStream) -> (TokenStream, TokenStream) {
    let mut inner = TokenStream::new();
    let mut rest = body.into_iter().peekable();
    loop {
        let mut ahead = rest.clone();
        let attribute = (ahead.next(), ahead.next(), ahead.next());
        let (
            Some(TokenTree::Punct(hash)),
            Some(TokenTree::Punct(bang)),
            Some(TokenTree::Group(group)),
        ) = attribute
        else {
            break;
        };
        if hash.as_char() != '#' || bang.as_char() != '!' || group.delimiter() != Delimiter::Bracket
        {
            break;
        }
        inner.extend([
            TokenTree::Punct(hash),
            TokenTree::Punct(bang),
            TokenTree::Group(group),
        ]);
        rest = ahead;
    }
    (inner, rest.collect())
}
