//! From the attribute and its item to the tokens that replace them: the function, the struct, what makes it a task, errors last.

mod code;
mod function;
mod imp;
mod running;
mod spec;
mod structure;
mod stub;

use proc_macro2::TokenStream;
use quote::quote;

use crate::check;
use crate::diag::Diag;
use crate::model::{Func, KartPath, Options, Task};
use crate::parse::{args, func, param};

/// The whole expansion. It never fails: where there are errors, they come behind a stub of everything else.
pub(crate) fn task(attr: TokenStream, item: TokenStream) -> TokenStream {
    let (tokens, diag) = try_task(attr, item);
    let errors = diag.into_tokens();
    quote!(#tokens #errors)
}

/// What replaces the item, and what is wrong with it.
pub(crate) fn try_task(attr: TokenStream, item: TokenStream) -> (TokenStream, Diag) {
    let mut diag = Diag::default();
    let options = args::parse(attr, &mut diag);
    let func = match syn::parse2::<Func>(item.clone()) {
        Ok(func) => func,
        Err(error) => {
            diag.push(error);
            return (func::strip(item), diag);
        }
    };
    let task = model(options, func, &mut diag);
    check::check(&task, &mut diag);
    let tokens = if diag.is_empty() {
        let function = function::emit(&task);
        let structure = structure::emit(&task);
        let imp = imp::emit(&task);
        quote!(#function #structure #imp)
    } else {
        stub::emit(&task)
    };
    debug(&task, &tokens);
    (tokens, diag)
}

fn model(options: Options, mut func: Func, diag: &mut Diag) -> Task {
    let params = param::take(&mut func.sig.inputs, diag);
    let ident = check::struct_ident(&options, &func, diag);
    let path = check::resolve(&options, &params, diag);
    let format = check::format(&options, path.as_deref(), diag);
    Task {
        ident,
        kart: KartPath(options.krate.clone()),
        options,
        func,
        params,
        path,
        format,
    }
}

/// `KART_MACRO_DEBUG=name` (the function's or the struct's) or `*` prints the expansion.
fn debug(task: &Task, tokens: &TokenStream) {
    let Ok(wanted) = std::env::var("KART_MACRO_DEBUG") else {
        return;
    };
    let function = &task.func.sig.ident;
    if wanted == "*" || task.ident == wanted.as_str() || function == wanted.as_str() {
        eprintln!("// the expansion of `#[task] fn {function}`\n{tokens}\n");
    }
}

#[cfg(test)]
mod tests;
