//! What may be written: one `check_x` for each rule. A check notes errors and changes nothing.

mod path;
mod types;

use proc_macro2::Ident;
use syn::{FnArg, Safety};

pub(crate) use self::path::{format, resolve};
pub(crate) use self::types::is_usable;
use crate::diag::Diag;
use crate::model::{Body, Func, Options, Param, Role, Task};
use crate::names;

/// Checks everything that can be seen in one function.
pub(crate) fn check(task: &Task, diag: &mut Diag) {
    check_free(&task.func, diag);
    check_generics(&task.func, diag);
    check_qualifiers(&task.func, diag);
    check_main(&task.func, diag);
    check_cfg(&task.func, diag);
    check_body(task, diag);
    check_external(task, diag);
    check_crate(&task.options, diag);
    check_name(&task.options, diag);
    check_contexts(&task.params, diag);
    types::check_output(&task.func, diag);
    for param in &task.params {
        types::check_param(param, diag);
    }
}

/// Rule: the struct's name is a type's name and not one of the prelude's; it comes from `struct`, or from the function.
pub(crate) fn struct_ident(options: &Options, func: &Func, diag: &mut Diag) -> Ident {
    let function = &func.sig.ident;
    let (at, name) = match &options.struct_name {
        Some(given) => (given, names::plain(given)),
        None => (function, names::upper_camel(&names::plain(function))),
    };
    if names::is_prelude(&name) {
        let other = format!("{name}Task");
        diag.error(
            at,
            format!(
                "the struct of this task would be named `{name}` and hide the prelude's: choose another name, such as `struct = {other}`"
            ),
        );
        return names::struct_ident(&other, at);
    }
    if names::is_type_name(&name) {
        return names::struct_ident(&name, at);
    }
    let camel = names::upper_camel(&name);
    let candidates = [
        camel.clone(),
        format!("{camel}Task"),
        format!("Task{camel}"),
    ];
    let mut candidates = candidates.into_iter();
    let camel = candidates
        .find(|name| names::is_type_name(name) && !names::is_prelude(name))
        .unwrap_or_else(|| "MyTask".to_owned());
    let message = if options.struct_name.is_some() {
        format!("the struct's name is written in UpperCamelCase: `struct = {camel}`")
    } else {
        format!(
            "no struct can be named after the function `{function}`: add a name, such as `struct = {camel}`"
        )
    };
    diag.error(at, message);
    names::struct_ident(&camel, at)
}

/// Rule: a task is a free function, without `self`.
fn check_free(func: &Func, diag: &mut Diag) {
    for input in &func.sig.inputs {
        if let FnArg::Receiver(receiver) = input {
            diag.error(
                receiver.self_token,
                "a task is a free function: take what it needs as parameters instead of `self`",
            );
        }
    }
}

/// Rule: a task has no generic parameters, for its key and its stored output belong to one type.
fn check_generics(func: &Func, diag: &mut Diag) {
    let generics = &func.sig.generics;
    if !generics.params.is_empty() {
        diag.error(
            &generics.params,
            "a task cannot be generic: name the types, and leave lifetimes of references out",
        );
    }
    if let Some(clause) = &generics.where_clause {
        diag.error(
            clause,
            "a task cannot be generic, so a `where` clause has nothing to say",
        );
    }
}

/// Rule: a task is `async fn` or `fn`, nothing else.
fn check_qualifiers(func: &Func, diag: &mut Diag) {
    let sig = &func.sig;
    if let Some(token) = &sig.constness {
        diag.error(token, "a task cannot be `const`");
    }
    if let Safety::Unsafe(token) = &sig.safety {
        diag.error(
            token,
            "a task cannot be `unsafe`: nobody vouches for a call made by the runner",
        );
    }
    if let Some(abi) = &sig.abi {
        diag.error(abi, "a task cannot be `extern`");
    }
    if let Some(variadic) = &sig.variadic {
        diag.error(
            variadic,
            "a task cannot be variadic: take a `Vec` or a slice",
        );
    }
}

/// Rule: `main` is the program's entry, not a task.
fn check_main(func: &Func, diag: &mut Diag) {
    if func.sig.ident == "main" {
        diag.error(
            &func.sig.ident,
            "`main` cannot be a task: name the function for what it makes, and start it by `kart::main!`",
        );
    }
}

/// Rule: no `cfg` on a parameter: a task would have other keys in other builds.
fn check_cfg(func: &Func, diag: &mut Diag) {
    for input in &func.sig.inputs {
        let attrs = match input {
            FnArg::Typed(input) => &input.attrs,
            FnArg::Receiver(receiver) => &receiver.attrs,
        };
        for attr in attrs {
            let path = attr.path();
            if path.is_ident("cfg") || path.is_ident("cfg_attr") {
                let name = names::tidy(path);
                diag.error(
                    &attr.meta,
                    format!(
                        "`{name}` on a parameter would give the task other keys in other builds: put it on the whole function"
                    ),
                );
            }
        }
    }
}

/// Rule: a task has a body unless it is external, and then it has none.
fn check_body(task: &Task, diag: &mut Diag) {
    match (&task.options.external, &task.func.body) {
        (Some(external), Body::Block(..)) => diag.error(
            external,
            "an external task is made by something else and has no body: end the signature with `;`, or take `external` off",
        ),
        (None, Body::None(semicolon)) => diag.error(
            semicolon,
            "a task has a body; one whose output is made by something else is `#[task(external, path = \"...\")]`",
        ),
        _ => {}
    }
}

/// Rule: an external task has a path, and nothing but plain parameters.
fn check_external(task: &Task, diag: &mut Diag) {
    let Some(external) = &task.options.external else {
        return;
    };
    if task.options.path.is_none() {
        diag.error(
            external,
            "an external task needs a `path`, to say where its output is put",
        );
    }
    for param in &task.params {
        let role = match param.role {
            Role::Plain(_) => continue,
            Role::Requires(_) | Role::Dep => "requires nothing",
            Role::Resource => "uses no resource",
            Role::Context => "has no context",
        };
        diag.error(
            &param.ident,
            format!("an external task is not run, so it {role}: it takes plain parameters only"),
        );
    }
}

/// Rule: `crate` is an absolute path, for it is used in modules of any depth.
fn check_crate(options: &Options, diag: &mut Diag) {
    let Some(path) = &options.krate else {
        return;
    };
    let in_crate = path
        .segments
        .first()
        .is_some_and(|first| first.ident == "crate");
    if path.leading_colon.is_none() && !in_crate {
        let text = names::tidy(path);
        diag.error(
            path,
            format!("`crate` is an absolute path: `::{text}` or `crate::{text}`"),
        );
    }
}

/// Rule: a name is `/`-separated words that are safe in a path of any store.
fn check_name(options: &Options, diag: &mut Diag) {
    let Some(literal) = &options.name else {
        return;
    };
    let name = literal.value();
    let word = |word: &str| {
        !word.is_empty()
            && word.chars().any(|c| c != '.')
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    if !name.split('/').all(word) {
        diag.error(
            literal,
            "a task's name is words of `A-Z a-z 0-9 _ - .` with `/` between them: `name = \"etl/clean/Clean\"`",
        );
    } else if name.starts_with(path::RESERVED) {
        diag.error(
            literal,
            "names that begin with `_kart` are kept for kart itself",
        );
    }
}

/// Rule: one context is enough.
fn check_contexts(params: &[Param], diag: &mut Diag) {
    let contexts = params
        .iter()
        .filter(|param| matches!(param.role, Role::Context));
    for param in contexts.skip(1) {
        diag.error(&param.ident, "a task has one `#[context]`; use the first");
    }
}
