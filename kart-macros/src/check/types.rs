//! The rules about written types. They look at syntax only: what a type is, the compiler says.

use syn::visit::{self, Visit};
use syn::{
    Lifetime, ParenthesizedGenericArguments, Path, Type, TypeFnPtr, TypeImplTrait, TypeInfer,
    TypeReference,
};

use crate::diag::Diag;
use crate::model::{Form, Func, Param, Role};
use crate::names;
use crate::parse::param::peel;

/// Rule: a parameter's type is owned, or borrowed once, at its top and without a lifetime.
pub(super) fn check_param(param: &Param, diag: &mut Diag) {
    if let Type::Reference(reference) = peel(&param.ty) {
        check_top_reference(reference, diag);
        check_trait_object(param, reference, diag);
    }
    check_resource(param, diag);
    walk(param, diag);
}

fn check_top_reference(reference: &TypeReference, diag: &mut Diag) {
    if let Some(token) = &reference.mutability {
        diag.error(
            token,
            "a task cannot change what it is given: take `&T`, or `mut x: T` for a copy of its own",
        );
    }
    if let Some(lifetime) = &reference.lifetime {
        diag.error(
            lifetime,
            "leave the lifetime out: the struct owns the value, and the function borrows it",
        );
    }
}

/// Rule: what is borrowed has an owner, which has a size.
fn check_trait_object(param: &Param, reference: &TypeReference, diag: &mut Diag) {
    let Type::TraitObject(object) = peel(&reference.elem) else {
        return;
    };
    let text = names::tidy(object);
    let message = if param.plain().is_some() {
        format!("a parameter is stored and read again, which a `{text}` cannot be")
    } else {
        format!("nothing can own a `{text}` of unknown size: take an `Arc<{text}>`")
    };
    diag.error(object, message);
}

/// Rule: a resource is one type that the runner was given, as it was given.
fn check_resource(param: &Param, diag: &mut Diag) {
    let owned = match (&param.role, &param.form) {
        (Role::Resource, Form::Str) => "String".to_owned(),
        (Role::Resource, Form::Slice(element)) => format!("Vec<{}>", names::tidy(element)),
        (Role::Resource, Form::Path) => "PathBuf".to_owned(),
        _ => return,
    };
    diag.error(
        &param.ty,
        format!(
            "a resource is found by its type, as the runner was given it: take a type of its own, or `&{owned}`"
        ),
    );
}

/// Rule: a task returns `Result<T, E>`, and owns what it returns.
pub(super) fn check_output(func: &Func, diag: &mut Diag) {
    match func.output() {
        Some(ty) => Walk::new(diag, Place::Output).visit_type(ty),
        None => diag.error(&func.sig.ident, "a task returns `Result<T, E>`"),
    }
}

/// Whether a type can stand in the struct, for the stub: there must be no second error about it.
pub(crate) fn is_usable(ty: &Type, func: &Func) -> bool {
    let mut diag = Diag::default();
    Walk::new(&mut diag, Place::Output).visit_type(ty);
    let tokens = quote::quote!(#ty);
    let mut generics = func.sig.generics.type_params();
    diag.is_empty() && !generics.any(|param| names::mentions(&tokens, &names::plain(&param.ident)))
}

fn walk(param: &Param, diag: &mut Diag) {
    let place = match param.role {
        Role::Plain(_) => Place::Plain,
        _ => Place::Given,
    };
    let mut walk = Walk::new(diag, place);
    match peel(&param.ty) {
        Type::Reference(reference) => walk.visit_type(&reference.elem),
        other => walk.visit_type(other),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    /// Required, resource or context.
    Given,
    Output,
}

/// Walks below the top of a type.
struct Walk<'a> {
    diag: &'a mut Diag,
    place: Place,
}

impl<'a> Walk<'a> {
    fn new(diag: &'a mut Diag, place: Place) -> Self {
        Self { diag, place }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    /// Rule: no reference below the top, and none in an output.
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let is_static = reference
            .lifetime
            .as_ref()
            .is_some_and(|l| l.ident == "static");
        if is_static && self.place != Place::Plain {
            return visit::visit_type(self, &reference.elem);
        }
        let owned = match peel(&reference.elem) {
            Type::Slice(slice) => format!("Vec<{}>", names::tidy(&slice.elem)),
            Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
            other => names::tidy(other),
        };
        let message = if self.place == Place::Output {
            format!("a task owns what it returns: write `{owned}`")
        } else {
            format!("a parameter borrows at its top or not at all: write `{owned}` here")
        };
        self.diag.error(reference, message);
    }

    /// Rule: no lifetime but `'static`.
    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.diag.error(
                lifetime,
                "a task's types have no lifetimes: what is stored outlives every borrow",
            );
        }
    }

    /// Rule: no `impl Trait`.
    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let message = if self.place == Place::Output {
            "a task returns a type that can be named, for it is stored and read again"
        } else {
            "a parameter has a type that can be named, for it is stored and read again"
        };
        self.diag.error(ty, format!("{message}: not `impl Trait`"));
    }

    /// Rule: no `_`.
    fn visit_type_infer(&mut self, ty: &'ast TypeInfer) {
        self.diag
            .error(ty, "write the type out: the struct needs it");
    }

    /// Rules: no `Self`; no `HashSet` in a parameter, for its order changes from run to run and the key with it.
    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first().filter(|first| first.ident == "Self") {
            self.diag.error(
                &first.ident,
                "a task is a free function: there is no `Self`; name the type",
            );
        }
        let last = path.segments.last();
        if let Some(last) =
            last.filter(|last| self.place == Place::Plain && last.ident == "HashSet")
        {
            self.diag.error(
                &last.ident,
                "a `HashSet` has no order of its own, so the task's key would change from run to run: use a `BTreeSet`",
            );
        }
        visit::visit_path(self, path);
    }

    /// A function pointer's references are its own affair.
    fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}

    /// Nor are those of `Fn(&T)`.
    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast ParenthesizedGenericArguments) {}
}
