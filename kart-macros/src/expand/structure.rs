//! The struct: the checkpointed form of one call.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Meta};

use crate::model::{Func, Param, PlainKind, Role, Task};
use crate::names;

/// `async fn f(x: &str) -> ..` → `struct F { x: String }`
///
/// A field is as visible as the function, which is as visible as the struct: `pub` within a private struct would trip `unreachable_pub`.
pub(super) fn emit(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let docs = docs(task);
    let derives = derives(task);
    let serde = format!("{}::__private::serde", kart.text());
    let debug = debug(task);
    let fields = task.fields().map(|param| {
        let attrs = field_attributes(task, param);
        let ty = param.field(kart);
        field(task, param, &attrs, &ty)
    });
    let item = declare(task, &fields.collect::<Vec<_>>());
    quote! {
        #docs
        #[derive(#derives)]
        #[serde(crate = #serde, deny_unknown_fields)]
        #[must_use = "a task does nothing until it is run: hand it to `kart::build` or a `kart::Runner`"]
        #item
        #debug
    }
}

/// `struct F { .. }` or `struct F;` with the attributes that follow from the function's.
pub(super) fn declare(task: &Task, fields: &[TokenStream]) -> TokenStream {
    let vis = &task.func.vis;
    let ident = &task.ident;
    let attrs = inherited(&task.func);
    // The keyword is spanned as the name is, so that an error about the item is shown there.
    let keyword = quote_spanned!(ident.span()=> struct);
    if fields.is_empty() {
        quote!(#(#attrs)* #vis #keyword #ident;)
    } else {
        quote!(#(#attrs)* #vis #keyword #ident { #(#fields)* })
    }
}

pub(super) fn field(
    task: &Task,
    param: &Param,
    attrs: &TokenStream,
    ty: &TokenStream,
) -> TokenStream {
    let vis = &task.func.vis;
    let ident = &param.ident;
    let docs = &param.docs;
    let docs = if docs.is_empty() {
        let text = format!("The parameter `{}` of {}.", param.name, link(task));
        quote!(#[doc = #text])
    } else {
        quote!(#(#docs)*)
    };
    quote!(#docs #attrs #vis #ident: #ty,)
}

fn field_attributes(task: &Task, param: &Param) -> TokenStream {
    let owner = &task.ident;
    match &param.role {
        Role::Plain(plain) if plain.default.is_some() => {
            let function = format!("{owner}::{}", default_fn(param));
            quote!(#[serde(default = #function)])
        }
        Role::Dep => {
            let function = format!("{owner}::{}", wire_fn(param));
            quote!(#[serde(deserialize_with = #function)])
        }
        _ => TokenStream::new(),
    }
}

/// The hidden function that makes a parameter's default.
pub(super) fn default_fn(param: &Param) -> proc_macro2::Ident {
    format_ident!("__kart_default_{}", param.name, span = Span::call_site())
}

/// The hidden function that reads a requirement from its wire form.
pub(super) fn wire_fn(param: &Param) -> proc_macro2::Ident {
    format_ident!("__kart_wire_{}", param.name, span = Span::call_site())
}

fn is_secret(param: &Param) -> bool {
    param
        .plain()
        .is_some_and(|plain| plain.kind == PlainKind::Secret)
}

fn derives(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let debug = (!task.params.iter().any(is_secret)).then(|| quote!(::core::fmt::Debug,));
    quote! {
        ::core::clone::Clone,
        #debug
        #kart::__private::serde::Serialize,
        #kart::__private::serde::Deserialize
    }
}

/// A `Debug` that shows `***` for a secret, where there is one.
fn debug(task: &Task) -> Option<TokenStream> {
    if !task.params.iter().any(is_secret) {
        return None;
    }
    let ident = &task.ident;
    let name = ident.to_string();
    let allow = deprecated(&task.func);
    let formatter = names::local("formatter");
    let fields = task.fields().map(|param| {
        let (field, name) = (&param.ident, &param.name);
        if is_secret(param) {
            quote!(.field(#name, &::core::format_args!("***")))
        } else {
            quote!(.field(#name, &self.#field))
        }
    });
    Some(quote! {
        #allow
        const _: () = {
            impl ::core::fmt::Debug for #ident {
                fn fmt(&self, #formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Formatter::debug_struct(#formatter, #name) #(#fields)* .finish()
                }
            }
        };
    })
}

/// The docs stay on the function (twice written, each example would be run twice); an external task has no function.
fn docs(task: &Task) -> TokenStream {
    if task.is_external() {
        let docs: Vec<&Attribute> = docs_of(&task.func.attrs).collect();
        if !docs.is_empty() {
            return quote!(#(#docs)*);
        }
        return quote!(#[doc = "A task whose output is made by something else."]);
    }
    let text = format!("The checkpointed form of one call of {}.", link(task));
    quote!(#[doc = #text])
}

fn docs_of(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs
        .iter()
        .filter(|attr| matches!(&attr.meta, Meta::NameValue(meta) if meta.path.is_ident("doc")))
}

/// The function in a doc comment.
fn link(task: &Task) -> String {
    let ident = task.func.sig.ident.to_string();
    if task.is_external() || ident.starts_with("r#") {
        format!("`{}`", names::plain(&task.func.sig.ident))
    } else {
        format!("[`{ident}`](fn@{ident})")
    }
}

/// The attributes that hold for the struct as for the function. All others stay on the function, where they were written.
fn inherited(func: &Func) -> Vec<TokenStream> {
    let mut attrs = lints(func);
    for attr in &func.attrs {
        let path = attr.path();
        let hidden = path.is_ident("doc") && matches!(&attr.meta, Meta::List(_));
        if path.is_ident("deprecated") || hidden {
            attrs.push(quote!(#attr));
        }
    }
    attrs
}

/// `#[allow(..)]` as written; `#[expect(..)]` as an `allow`, for it may well not come true a second time.
pub(super) fn lints(func: &Func) -> Vec<TokenStream> {
    func.attrs
        .iter()
        .filter_map(|attr| match &attr.meta {
            Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
                let tokens = &list.tokens;
                Some(quote!(#[allow(#tokens)]))
            }
            _ => None,
        })
        .collect()
}

/// The expansion uses a deprecated function: its own use is none of the user's business.
pub(super) fn deprecated(func: &Func) -> Option<TokenStream> {
    func.attrs
        .iter()
        .any(|attr| attr.path().is_ident("deprecated"))
        .then(|| quote!(#[allow(deprecated)]))
}
