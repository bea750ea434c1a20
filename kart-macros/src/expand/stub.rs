//! What stands in for a task with errors: its names, so that the rest of the file meets no errors that are not its own.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, Type};

use super::{function, imp, spec, structure};
use crate::check;
use crate::model::{Body, Form, Param, Role, Task};
use crate::names;
use crate::parse::param::peel;

/// The function without helper attributes, the struct, and impls that are never called.
pub(super) fn emit(task: &Task) -> TokenStream {
    let function = function(task);
    if is_associated(task) {
        // A struct within an `impl` or a `trait` would be a dozen errors of its own.
        return function;
    }
    let fields = task.fields().map(|param| {
        let ty = field_type(task, param);
        structure::field(task, param, &TokenStream::new(), &ty)
    });
    let structure = structure::declare(task, &fields.collect::<Vec<_>>());
    let impls = impls(task);
    quote! {
        #function
        /// A task with errors.
        #[allow(dead_code)]
        #structure
        #impls
    }
}

/// The function as it is, or with a body where that is missing.
fn function(task: &Task) -> TokenStream {
    if let Body::Block(..) = task.func.body {
        return function::emit(task);
    }
    if task.is_external() {
        return TokenStream::new();
    }
    let (attrs, vis, sig) = (&task.func.attrs, &task.func.vis, &task.func.sig);
    let idents = task.params.iter().map(|param| &param.ident);
    quote!(#(#attrs)* #vis #sig { #(let _ = &#idents;)* ::core::unreachable!() })
}

/// Whether the function stands in an `impl` or a `trait`, as far as its signature tells.
fn is_associated(task: &Task) -> bool {
    let sig = &task.func.sig;
    let receiver = sig
        .inputs
        .iter()
        .any(|input| matches!(input, FnArg::Receiver(_)));
    receiver || names::mentions(&quote!(#sig), "Self")
}

/// A type that the struct can hold: uses of the struct should find the field they name.
fn field_type(task: &Task, param: &Param) -> TokenStream {
    let below = match &param.form {
        Form::Owned => peel(&param.ty),
        Form::Str | Form::Path => return param.field(&task.kart),
        Form::Slice(ty) | Form::Ref(ty) => ty,
    };
    let dynamic = matches!(peel(below), Type::TraitObject(_));
    if !dynamic && check::is_usable(below, &task.func) {
        return param.field(&task.kart);
    }
    let kart = &task.kart;
    if matches!(param.role, Role::Dep) {
        quote!(#kart::__private::Dep<()>)
    } else {
        quote!(())
    }
}

fn output(task: &Task) -> TokenStream {
    match task.func.output() {
        Some(ty) if check::is_usable(ty, &task.func) => imp::output(task),
        _ => quote!(()),
    }
}

/// Where the output is not known, a format that asks little of it.
fn format(task: &Task) -> TokenStream {
    let kart = &task.kart;
    match task.func.output() {
        Some(ty) if check::is_usable(ty, &task.func) => spec::format(task),
        _ => quote!(#kart::__private::format::Json),
    }
}

fn impls(task: &Task) -> TokenStream {
    let ident = &task.ident;
    let support = support(task);
    let constructors = constructors(task);
    let imp = task_impl(task);
    let lints = structure::lints(&task.func);
    let deprecated = structure::deprecated(&task.func);
    quote! {
        #(#lints)*
        #deprecated
        const _: () = {
            #support
            #constructors
            #imp
            impl ::core::clone::Clone for #ident {
                fn clone(&self) -> Self { ::core::unreachable!() }
            }
            impl ::core::fmt::Debug for #ident {
                fn fmt(&self, _: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::unreachable!()
                }
            }
        };
    }
}

/// serde's traits, written out so that they ask nothing of the fields.
fn support(task: &Task) -> TokenStream {
    let (kart, ident) = (&task.kart, &task.ident);
    let serde = quote!(#kart::__private::serde);
    quote! {
        impl #serde::Serialize for #ident {
            fn serialize<__KartSerializer: #serde::Serializer>(
                &self,
                _: __KartSerializer,
            ) -> ::core::result::Result<__KartSerializer::Ok, __KartSerializer::Error> {
                ::core::unreachable!()
            }
        }
        impl<'de> #serde::Deserialize<'de> for #ident {
            fn deserialize<__KartDeserializer: #serde::Deserializer<'de>>(
                _: __KartDeserializer,
            ) -> ::core::result::Result<Self, __KartDeserializer::Error> {
                ::core::unreachable!()
            }
        }
    }
}

/// `new`, wherever the finished task would have it.
fn constructors(task: &Task) -> Option<TokenStream> {
    let has_default = |param: &Param| param.plain().is_some_and(|plain| plain.default.is_some());
    if !task.fields().any(has_default) {
        return None;
    }
    let (ident, vis) = (&task.ident, &task.func.vis);
    let inputs = task
        .fields()
        .filter(|param| !has_default(param))
        .map(|param| {
            let ty = field_type(task, param);
            if matches!(param.role, Role::Dep) {
                quote!(_: impl ::core::convert::Into<#ty>)
            } else {
                quote!(_: #ty)
            }
        });
    let default = task.fields().all(has_default).then(|| {
        quote! {
            impl ::core::default::Default for #ident {
                fn default() -> Self { ::core::unreachable!() }
            }
        }
    });
    Some(quote! {
        impl #ident {
            #vis fn new(#(#inputs),*) -> Self { ::core::unreachable!() }
        }
        #default
    })
}

fn task_impl(task: &Task) -> TokenStream {
    let (kart, ident) = (&task.kart, &task.ident);
    let output = output(task);
    let format = format(task);
    let private = quote!(#kart::__private);
    quote! {
        impl #private::Task for #ident {
            type Output = #output;
            type Format = #format;
            fn __spec() -> &'static #private::TaskSpec { ::core::unreachable!() }
            fn __params(&self, _: &mut #private::Params) { ::core::unreachable!() }
            fn __requires(&self, _: &mut #private::Requirements<'_>) { ::core::unreachable!() }
            fn __path_param(&self, _: &str) -> #private::PathText { ::core::unreachable!() }
            fn __run(self: ::std::sync::Arc<Self>, _: #private::Call) -> #private::Body {
                ::core::unreachable!()
            }
        }
    }
}
