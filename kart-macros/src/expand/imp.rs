//! What makes the struct a task: constructors, `Task`, the registration.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use super::{running, spec, structure};
use crate::model::{Form, Param, PlainKind, Role, Task};
use crate::names;

/// Everything lies within one `const _`, so that no name of it is the user's concern; impls reach out of it.
pub(super) fn emit(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let ident = &task.ident;
    let lints = structure::lints(&task.func);
    let deprecated = structure::deprecated(&task.func);
    let inherent = inherent(task);
    let default = default(task);
    let spec = spec::emit(task);
    let imp = task_impl(task);
    // As it is written: what is wrong with it is reported where it is asked for its output.
    let returned = task
        .func
        .output()
        .map_or_else(|| quote!(()), |ty| quote!(#ty));
    quote! {
        #(#lints)*
        #deprecated
        const _: () = {
            #inherent
            #default
            #spec
            #imp
            #kart::__private::inventory::submit! {
                #kart::__private::Registration {
                    spec: &__KART_SPEC,
                    build: #kart::__private::build::<#ident>,
                    show: |value| {
                        use #kart::__private::show::*;
                        (&&&Show::<#returned>::new()).show(value)
                    },
                }
            }
        };
    }
}

/// `new` and the hidden functions that serde calls.
fn inherent(task: &Task) -> Option<TokenStream> {
    let ident = &task.ident;
    let functions: Vec<TokenStream> = task
        .fields()
        .filter_map(|param| match &param.role {
            Role::Plain(plain) => plain.default.as_ref().map(|expr| default_fn(param, expr)),
            Role::Dep => Some(wire_fn(task, param)),
            _ => None,
        })
        .collect();
    if functions.is_empty() {
        return None;
    }
    let new = new(task);
    Some(quote!(impl #ident { #(#functions)* #new }))
}

/// `#[param(default = "x")] s: &str` → a function that owns the `&str` that the expression gives
///
/// The expression has the type that the function declares, and a mismatch is reported at it.
fn default_fn(param: &Param, expr: &TokenStream) -> TokenStream {
    let name = structure::default_fn(param);
    let (owned, ty) = (param.owned(), &param.ty);
    let own = match &param.form {
        Form::Owned => {
            return quote! {
                #[doc(hidden)]
                fn #name() -> #owned { #expr }
            };
        }
        Form::Ref(_) => quote!(::core::clone::Clone::clone(value)),
        Form::Str | Form::Path | Form::Slice(_) => quote!(::std::borrow::ToOwned::to_owned(value)),
    };
    quote! {
        #[doc(hidden)]
        fn #name() -> #owned {
            fn __kart_own(value: #ty) -> #owned { #own }
            __kart_own(#expr)
        }
    }
}

/// The shape of a requirement on the wire follows from its type, which only this place knows.
fn wire_fn(task: &Task, param: &Param) -> TokenStream {
    let kart = &task.kart;
    let name = structure::wire_fn(param);
    let owned = param.owned();
    let wire = names::local("wire");
    // The type parameter is not hygienic: its name must be none of the user's.
    quote! {
        #[doc(hidden)]
        fn #name<'de, __KartDeserializer: #kart::__private::serde::Deserializer<'de>>(
            #wire: __KartDeserializer,
        ) -> ::core::result::Result<#kart::__private::Dep<#owned>, __KartDeserializer::Error> {
            use #kart::__private::wire::*;
            (&&&&Wire::<#owned>::new()).dep(#wire)
        }
    }
}

/// Where some parameter has a default: a constructor that takes the others.
fn new(task: &Task) -> Option<TokenStream> {
    let kart = &task.kart;
    let vis = &task.func.vis;
    let has_default = |param: &Param| param.plain().is_some_and(|plain| plain.default.is_some());
    if !task.fields().any(has_default) {
        return None;
    }
    let mut inputs = Vec::new();
    let mut values = Vec::new();
    for param in task.fields() {
        let field = &param.ident;
        let input = param.ident.clone();
        let ty = param.field(kart);
        if has_default(param) {
            let function = structure::default_fn(param);
            values.push(quote!(#field: Self::#function(),));
        } else if matches!(param.role, Role::Dep) {
            inputs.push(quote!(#input: impl ::core::convert::Into<#ty>,));
            values.push(quote!(#field: ::core::convert::Into::into(#input),));
        } else {
            inputs.push(quote!(#input: #ty,));
            values.push(quote!(#field,));
        }
    }
    // The lint has spoken about the function already, or has been told not to.
    let allow = (inputs.len() > 7).then(|| quote!(#[allow(clippy::too_many_arguments)]));
    Some(quote! {
        /// A call with every default filled in.
        #allow
        #vis fn new(#(#inputs)*) -> Self { Self { #(#values)* } }
    })
}

/// Where every parameter has a default.
fn default(task: &Task) -> Option<TokenStream> {
    let ident = &task.ident;
    let has_default = |param: &Param| param.plain().is_some_and(|plain| plain.default.is_some());
    let mut fields = task.fields().peekable();
    (fields.peek().is_some() && fields.all(has_default)).then(|| {
        quote! {
            impl ::core::default::Default for #ident {
                fn default() -> Self { Self::new() }
            }
        }
    })
}

/// The return type's output, reported at the return type where it has none.
pub(super) fn output(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let Some(ty) = task.func.output() else {
        return quote!(());
    };
    let (first, last) = names::ends(ty);
    let open = quote_spanned!(first=> <);
    let close = quote_spanned!(last=> >::Ok);
    quote!(#open #ty as #kart::__private::Fallible #close)
}

fn task_impl(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let ident = &task.ident;
    let output = output(task);
    let format = spec::format(task);
    let assertions = assertions(task);
    let require_fn = require_fn(task);
    let params = params(task);
    let requires = requires(task);
    let path_param = path_param(task);
    let run = running::emit(task);
    quote! {
        #assertions
        #require_fn
        impl #kart::__private::Task for #ident {
            type Output = #output;
            type Format = #format;
            fn __spec() -> &'static #kart::__private::TaskSpec { &__KART_SPEC }
            #params
            #requires
            #path_param
            #run
        }
    }
}

/// The bounds of a parameter, asked at its written type.
fn assertions(task: &Task) -> Option<TokenStream> {
    let kart = &task.kart;
    let asserts: Vec<TokenStream> = task
        .params
        .iter()
        .filter(|param| param.plain().is_some())
        .map(|param| {
            let ty = param.owned();
            quote!(#kart::__private::assert_param::<#ty>();)
        })
        .collect();
    (!asserts.is_empty()).then(|| quote!(fn __kart_assert_params() { #(#asserts)* }))
}

/// The values of the fields, by name.
fn params(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let params = names::local("params");
    let mut fields: Vec<&Param> = task.fields().collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    let calls = fields.iter().map(|param| {
        let name = &param.name;
        let method = match param.plain().map(|plain| plain.kind) {
            Some(PlainKind::Significant) => quote!(param),
            Some(PlainKind::Insignificant) => quote!(insignificant),
            Some(PlainKind::Secret) => quote!(secret),
            None => quote!(dep),
        };
        let (span, _) = names::ends(&param.ty);
        let field = param.of_self();
        quote_spanned!(span=> #params.#method(#name, &#field);)
    });
    let input = if fields.is_empty() {
        names::local("_params")
    } else {
        params.clone()
    };
    quote!(fn __params(&self, #input: &mut #kart::__private::Params) { #(#calls)* })
}

/// Each required parameter's tasks, by name, asked as the type that the function takes.
fn requires(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let local = names::local("requires");
    let params = task.required();
    let calls = params.iter().map(|param| {
        let (field, name, value) = (&param.ident, &param.name, param.value());
        let Role::Requires(expr) = &param.role else {
            return quote! {
                #local.require::<#value, _, _>(#name, ::core::clone::Clone::clone(&self.#field));
            };
        };
        let bindings = task.mentioned(expr).into_iter().map(binding);
        quote! {{
            #(#bindings)*
            __kart_require(#local, #name, ::core::marker::PhantomData::<#value>, #expr);
        }}
    });
    let input = if params.is_empty() {
        names::local("_requires")
    } else {
        local.clone()
    };
    quote! {
        fn __requires(&self, #input: &mut #kart::__private::Requirements<'_>) { #(#calls)* }
    }
}

/// Asks for a type without naming the expression's: one that does not fit is then reported at the whole expression, where
/// `require::<V, _, _>(..)` would report it at the `_`.
fn require_fn(task: &Task) -> Option<TokenStream> {
    let kart = &task.kart;
    let has_expr = |param: &Param| matches!(param.role, Role::Requires(_));
    task.params.iter().any(has_expr).then(|| {
        quote! {
            fn __kart_require<V, M, X>(
                requires: &mut #kart::__private::Requirements<'_>,
                name: &'static str,
                _: ::core::marker::PhantomData<V>,
                expr: X,
            ) where
                V: ::core::marker::Send + 'static,
                X: #kart::__private::Requires<V, M>,
            {
                requires.require::<V, M, X>(name, expr);
            }
        }
    })
}

/// `let x: &str = &self.x;`: an expression sees a parameter as the function declares it.
fn binding(param: &Param) -> TokenStream {
    let (ident, ty) = (&param.ident, &param.ty);
    let field = param.of_self();
    let value = if param.is_borrowed() {
        quote!(&#field)
    } else {
        let (span, _) = names::ends(ty);
        quote_spanned!(span=> ::core::clone::Clone::clone(&#field))
    };
    quote!(let #ident: #ty = #value; let _ = &#ident;)
}

/// The text of the parameters that the path holds.
fn path_param(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let arms: Vec<TokenStream> = task
        .fields()
        .filter(|param| task.path_holds(&param.name))
        .map(|param| {
            let (field, name) = (&param.ident, &param.name);
            quote! {
                #name => (&#kart::__private::PathValue(&self.#field)).path_text(),
            }
        })
        .collect();
    let text = quote!(#kart::__private::PathText);
    if arms.is_empty() {
        return quote! {
            fn __path_param(&self, _: &str) -> #text { ::core::default::Default::default() }
        };
    }
    let name = proc_macro2::Ident::new("name", Span::mixed_site());
    quote! {
        fn __path_param(&self, #name: &str) -> #text {
            #[allow(unused_imports)]
            use #kart::__private::{ViaDisplay as _, ViaJson as _};
            match #name {
                #(#arms)*
                _ => ::core::default::Default::default(),
            }
        }
    }
}
