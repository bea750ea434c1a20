//! The call of the function: inputs, resources and context are handed over as it declares them.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use crate::model::{Param, Role, Task};
use crate::names;

/// An `async fn` becomes a boxed future, a plain `fn` a closure for a thread of its own, an external task a look at the store.
pub(super) fn emit(task: &Task) -> TokenStream {
    let kart = &task.kart;
    let call = names::local("call");
    let attempt = if task.is_external() {
        quote!(#kart::__private::external(#call))
    } else {
        attempt(task, &call)
    };
    let given = |param: &&Param| !matches!(param.role, Role::Plain(_));
    let mutable = task
        .params
        .iter()
        .any(Param::is_required)
        .then(|| quote!(mut));
    let input = if task.is_external() || task.params.iter().any(|param| given(&param)) {
        quote!(#mutable #call)
    } else {
        quote!(_)
    };
    quote! {
        fn __run(
            self: ::std::sync::Arc<Self>,
            #input: #kart::__private::Call,
        ) -> #kart::__private::Body {
            #attempt
        }
    }
}

fn attempt(task: &Task, call: &Ident) -> TokenStream {
    let kart = &task.kart;
    let required = task.required();
    let mut lets = Vec::new();
    let mut args = Vec::new();
    for (place, param) in task.params.iter().enumerate() {
        let local = format_ident!("__kart_{}", place, span = proc_macro2::Span::mixed_site());
        if let Some(given) = given(task, &required, call, param) {
            lets.push(quote!(let #local = #given;));
        }
        args.push(argument(param, &local));
    }
    // What is wrong with the result is reported at the written type of it.
    let (span, _) = names::ends(&task.func.output());
    let path = kart.at(span);
    let finish = quote_spanned!(span=> #path::__private::finish::<Self, _>);
    let function = names::at(&task.func.sig.ident, span);
    let result = quote_spanned!(span=> #function(#(#args),*));
    if let Some(token) = &task.func.sig.asyncness {
        // A future that cannot be sent is the body's fault: it is reported at its `async`.
        let awaited = quote_spanned!(span=> #result.await);
        let finished = quote_spanned!(span=> #finish(#awaited));
        let span = token.span.resolved_at(proc_macro2::Span::mixed_site());
        let block = quote!({ #(#lets)* #finished });
        let future = quote_spanned!(span=> ::std::boxed::Box::pin(async move #block));
        quote!(#kart::__private::Body::Async(#future))
    } else {
        let finished = quote_spanned!(span=> #finish(#result));
        quote!(#kart::__private::Body::Blocking(::std::boxed::Box::new(move || { #(#lets)* #finished })))
    }
}

/// Where a value that is no field comes from.
fn given(task: &Task, required: &[&Param], call: &Ident, param: &Param) -> Option<TokenStream> {
    match param.role {
        Role::Plain(_) => None,
        Role::Requires(_) | Role::Dep => {
            let index = required.iter().position(|other| other.name == param.name)?;
            let value = param.value();
            Some(quote!(#call.input::<#value>(#index)?))
        }
        Role::Resource => {
            let ty = param.owned();
            let kart = &task.kart;
            Some(quote!(#kart::__private::Call::resource::<#ty>(&#call)?))
        }
        Role::Context => Some(quote!(#call.context())),
    }
}

/// What stands in the call, at the parameter's type. A borrow of what owns the value becomes `&str`, `&[T]` and so on by coercion.
fn argument(param: &Param, local: &Ident) -> TokenStream {
    let field = param.of_self();
    let borrowed = param.is_borrowed();
    let (span, _) = names::ends(&param.ty);
    let local = names::at(local, span);
    match (&param.role, borrowed) {
        (Role::Plain(_), true) => quote_spanned!(span=> &#field),
        (Role::Plain(_), false) => quote_spanned!(span=> ::core::clone::Clone::clone(&#field)),
        (Role::Context, true) => quote_spanned!(span=> &#local),
        (Role::Resource, false) => quote_spanned!(span=> ::core::clone::Clone::clone(&*#local)),
        (_, true) => quote_spanned!(span=> &*#local),
        (_, false) => quote!(#local),
    }
}
