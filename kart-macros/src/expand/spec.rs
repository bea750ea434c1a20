//! The task's description, as a static.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Expr, Lit, Meta};

use super::code;
use crate::model::{Format, Param, PlainKind, Role, Segment, Task};
use crate::names;

/// The default of `backoff`.
const BACKOFF: Duration = Duration::from_secs(1);

pub(super) fn emit(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let options = &task.options;
    let name = name(task);
    let version = options.version.unwrap_or(1);
    let path = path(task);
    let retries = options.retries.unwrap_or(0);
    let backoff = duration(options.backoff.unwrap_or(BACKOFF));
    let timeout = optional(options.timeout.map(duration));
    let priority = options.priority.unwrap_or(0);
    let uses = options.uses.iter().flatten().map(|(limit, units)| {
        let limit = names::plain(limit);
        quote!((#limit, #units))
    });
    let external = task.is_external();
    let params = task.fields().map(|param| param_spec(task, param));
    let resources = resources(task);
    let doc = doc(&task.func.attrs);
    let code = code::fingerprint(&task.func);
    quote! {
        static __KART_SPEC: #kart::__private::TaskSpec = #kart::__private::TaskSpec {
            name: #name,
            version: #version,
            path: &[#(#path),*],
            retries: #retries,
            backoff: #backoff,
            timeout: #timeout,
            priority: #priority,
            uses: &[#(#uses),*],
            external: #external,
            params: &[#(#params),*],
            resources: &[#(#resources),*],
            doc: #doc,
            file: ::core::file!(),
            line: ::core::line!(),
            code: #code,
        };
    }
}

/// `format`, or what the extension names; where the output has no such form, that is reported at the path, or at the
/// output's type.
pub(super) fn format(task: &Task) -> TokenStream {
    let (span, name) = match &task.format {
        Format::Given(ty) => return ty.to_token_stream(),
        Format::Default => (names::ends(&task.func.sig.output).1, "Json"),
        Format::Known(name, literal) => (names::ends(literal).0, *name),
    };
    let kart = task.kart.at(span);
    let name = Ident::new(name, span);
    quote_spanned!(span=> #kart::__private::format::#name)
}

fn name(task: &Task) -> TokenStream {
    let kart = &task.kart;
    if let Some(given) = &task.options.name {
        return given.to_token_stream();
    }
    let name = task.ident.to_string();
    quote!(#kart::__private::task_name!(#name))
}

fn path(task: &Task) -> Vec<TokenStream> {
    let default = || {
        vec![
            Segment::Name,
            Segment::Literal("/".to_owned()),
            Segment::Key,
            Segment::Literal(".".to_owned()),
            Segment::Extension,
        ]
    };
    let kart = &task.kart;
    let segment = quote!(#kart::__private::Segment);
    let one = |piece: &Segment| match piece {
        Segment::Literal(text) => quote!(#segment::Literal(#text)),
        Segment::Param(name) => quote!(#segment::Param(#name)),
        Segment::Key => quote!(#segment::Key),
        Segment::Name => quote!(#segment::Name),
        Segment::Extension => quote!(#segment::Extension),
    };
    match &task.path {
        Some(path) => path.iter().map(one).collect(),
        None => default().iter().map(one).collect(),
    }
}

fn duration(duration: Duration) -> TokenStream {
    let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#secs, #nanos))
}

fn optional(value: Option<impl ToTokens>) -> TokenStream {
    value.map_or_else(
        || quote!(::core::option::Option::None),
        |value| quote!(::core::option::Option::Some(#value)),
    )
}

fn param_spec(task: &Task, param: &Param) -> TokenStream {
    let kart = &task.kart;
    let name = &param.name;
    let ty = names::tidy(&param.ty);
    let doc = doc(&param.docs);
    let (kind, default) = match &param.role {
        Role::Plain(plain) => {
            let kind = match plain.kind {
                PlainKind::Significant => quote!(Significant),
                PlainKind::Insignificant => quote!(Insignificant),
                PlainKind::Secret => quote!(Secret),
            };
            (kind, plain.default.as_ref().map(names::tidy))
        }
        _ => (quote!(Dependency), None),
    };
    let default = optional(default);
    quote! {
        #kart::__private::ParamSpec {
            name: #name,
            ty: #ty,
            doc: #doc,
            kind: #kart::__private::ParamKind::#kind,
            default: #default,
        }
    }
}

fn resources(task: &Task) -> Vec<TokenStream> {
    let kart = &task.kart;
    task.params
        .iter()
        .filter(|param| matches!(param.role, Role::Resource))
        .map(|param| {
            let (name, ty) = (&param.name, param.owned());
            quote! {
                #kart::__private::ResourceSpec {
                    name: #name,
                    type_name: ::core::any::type_name::<#ty>,
                    type_id: ::core::any::TypeId::of::<#ty>,
                }
            }
        })
        .collect()
}

/// The lines of a doc comment, each without the space after `///`.
fn doc(attrs: &[Attribute]) -> String {
    let lines: Vec<String> = attrs
        .iter()
        .filter_map(|attr| match &attr.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        })
        .map(|line| line.strip_prefix(' ').map_or(line.clone(), str::to_owned))
        .collect();
    lines.join("\n").trim().to_owned()
}
