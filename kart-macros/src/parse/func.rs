//! The annotated function: attributes, visibility and signature are read, the body is not looked into.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Signature, Token, Visibility, braced, token};

use crate::model::{Body, Func};
use crate::names;

impl Parse for Func {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis: Visibility = input.parse()?;
        if let Some(other) = not_a_function(input) {
            return Err(other);
        }
        let sig: Signature = input.parse()?;
        let body = if input.peek(token::Brace) {
            let content;
            let brace = braced!(content in input);
            Body::Block(brace, content.parse()?)
        } else {
            Body::None(input.parse()?)
        };
        Ok(Func {
            attrs,
            vis,
            sig,
            body,
        })
    }
}

/// Rule: `#[task]` goes on a function.
fn not_a_function(input: ParseStream<'_>) -> Option<syn::Error> {
    let rest = input.cursor().token_stream();
    let has_fn = rest
        .into_iter()
        .any(|token| matches!(token, TokenTree::Ident(word) if word == "fn"));
    if has_fn || input.peek(Token![fn]) {
        return None;
    }
    Some(input.error("`#[task]` goes on a function: `async fn` or `fn`"))
}

/// The item without helper attributes and parameter docs, for when it is no function that can be read:
///
/// `fn f(#[param(default = 1)] x: u8)` → `fn f(x: u8)`
pub(crate) fn strip(item: TokenStream) -> TokenStream {
    let mut after_fn = false;
    item.into_iter()
        .map(|token| match token {
            TokenTree::Ident(word) if word == "fn" => {
                after_fn = true;
                TokenTree::Ident(word)
            }
            TokenTree::Group(group) if after_fn && group.delimiter() == Delimiter::Parenthesis => {
                after_fn = false;
                let mut stripped = Group::new(Delimiter::Parenthesis, strip_params(group.stream()));
                stripped.set_span(group.span());
                TokenTree::Group(stripped)
            }
            other => other,
        })
        .collect()
}

fn strip_params(params: TokenStream) -> TokenStream {
    let mut kept = TokenStream::new();
    let mut tokens = params.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let hash = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '#');
        let helper = |next: &TokenTree| matches!(next, TokenTree::Group(group) if is_helper(group));
        if !(hash && tokens.next_if(helper).is_some()) {
            token.to_tokens(&mut kept);
        }
    }
    kept
}

fn is_helper(attribute: &Group) -> bool {
    let first = attribute.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(word))
        if word == "doc" || names::HELPERS.iter().any(|helper| word == helper))
}
