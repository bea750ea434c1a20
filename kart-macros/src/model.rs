//! A task as the user wrote it, as plain data. Parsing makes it, checks read it, expansion prints it.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, LitStr, Path, ReturnType, Signature, Token, Type, Visibility, token};

use crate::names;

/// One annotated function.
pub(crate) struct Task {
    /// The struct's name.
    pub(crate) ident: Ident,
    pub(crate) kart: KartPath,
    pub(crate) options: Options,
    pub(crate) func: Func,
    /// In order of declaration; a parameter without a usable name is missing, and an error has been noted.
    pub(crate) params: Vec<Param>,
    /// The `path` in pieces; `None` where none was given.
    pub(crate) path: Option<Vec<Segment>>,
    pub(crate) format: Format,
}

/// What stands in `#[task(...)]`.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) version: Option<u32>,
    pub(crate) name: Option<LitStr>,
    pub(crate) struct_name: Option<Ident>,
    pub(crate) path: Option<LitStr>,
    pub(crate) format: Option<Type>,
    pub(crate) retries: Option<u32>,
    pub(crate) backoff: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) priority: Option<i32>,
    pub(crate) uses: Option<Vec<(Ident, u32)>>,
    pub(crate) external: Option<Ident>,
    pub(crate) krate: Option<Path>,
}

/// The function, its helper attributes and parameter docs already taken off.
pub(crate) struct Func {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Body,
}

impl Func {
    /// The type after `->`.
    pub(crate) fn output(&self) -> Option<&Type> {
        match &self.sig.output {
            ReturnType::Type(_, ty) => Some(ty),
            ReturnType::Default => None,
        }
    }
}

/// A function's body: opaque, so that an unfinished one, or one in newer syntax, still expands.
pub(crate) enum Body {
    Block(token::Brace, TokenStream),
    None(Token![;]),
}

/// One parameter of the function.
pub(crate) struct Param {
    pub(crate) ident: Ident,
    /// The identifier without `r#`.
    pub(crate) name: String,
    /// As the function declares it.
    pub(crate) ty: Type,
    pub(crate) form: Form,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) role: Role,
}

/// What a parameter is to the task.
pub(crate) enum Role {
    Plain(Plain),
    /// `#[requires(EXPR)]`
    Requires(TokenStream),
    /// `#[requires]`
    Dep,
    Resource,
    Context,
}

/// A parameter whose value is part of the struct.
pub(crate) struct Plain {
    pub(crate) default: Option<TokenStream>,
    pub(crate) kind: PlainKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainKind {
    Significant,
    Insignificant,
    Secret,
}

/// How the function takes a value, and so what owns it.
pub(crate) enum Form {
    /// `T`
    Owned,
    /// `&str`
    Str,
    /// `&Path`
    Path,
    /// `&[T]`
    Slice(Box<Type>),
    /// `&T`
    Ref(Box<Type>),
}

impl Param {
    pub(crate) fn plain(&self) -> Option<&Plain> {
        match &self.role {
            Role::Plain(plain) => Some(plain),
            _ => None,
        }
    }

    /// `#[requires]` or `#[requires(EXPR)]`
    pub(crate) fn is_required(&self) -> bool {
        matches!(self.role, Role::Requires(_) | Role::Dep)
    }

    pub(crate) fn is_field(&self) -> bool {
        matches!(self.role, Role::Plain(_) | Role::Dep)
    }

    pub(crate) fn is_borrowed(&self) -> bool {
        !matches!(self.form, Form::Owned)
    }

    /// The type that owns the value: `String` for `&str`, `Vec<T>` for `&[T]`, `PathBuf` for `&Path`, `T` for `&T` and `T`.
    pub(crate) fn owned(&self) -> TokenStream {
        let (span, _) = names::ends(&self.ty);
        match &self.form {
            Form::Owned => self.ty.to_token_stream(),
            Form::Str => quote_spanned!(span=> ::std::string::String),
            Form::Path => quote_spanned!(span=> ::std::path::PathBuf),
            Form::Slice(element) => {
                let vec = quote_spanned!(span=> ::std::vec::Vec);
                quote!(#vec<#element>)
            }
            Form::Ref(ty) => ty.to_token_stream(),
        }
    }

    /// The type that a requirement's output is asked as: what is borrowed is shared.
    pub(crate) fn value(&self) -> TokenStream {
        let owned = self.owned();
        if self.is_borrowed() {
            quote!(::std::sync::Arc<#owned>)
        } else {
            owned
        }
    }

    /// `self.x`, at the parameter's type: `self` is found only from the place where the method is written.
    pub(crate) fn of_self(&self) -> TokenStream {
        let (span, _) = names::ends(&self.ty);
        let ident = names::at(&self.ident, span);
        quote_spanned!(Span::call_site().located_at(span)=> self.#ident)
    }

    /// The type of the struct's field.
    pub(crate) fn field(&self, kart: &KartPath) -> TokenStream {
        let owned = self.owned();
        match self.role {
            Role::Dep => quote!(#kart::__private::Dep<#owned>),
            _ => owned,
        }
    }
}

/// A piece of `path`.
pub(crate) enum Segment {
    Literal(String),
    Param(String),
    Key,
    Name,
    Extension,
}

/// How the output is stored.
pub(crate) enum Format {
    /// `format = TYPE`
    Given(Box<Type>),
    /// By the extension of the path, at its place.
    Known(&'static str, LitStr),
    Default,
}

/// Where kart lives: `::kart`, or what `crate = ...` says.
pub(crate) struct KartPath(pub(crate) Option<Path>);

impl KartPath {
    /// The path at another place, where an error about what follows it belongs.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let tokens = self.to_token_stream().into_iter();
        tokens
            .map(|mut token| {
                token.set_span(token.span().located_at(span));
                token
            })
            .collect()
    }

    /// The path of an item that generated attributes name in a string.
    pub(crate) fn text(&self) -> String {
        names::tidy(self)
    }
}

impl ToTokens for KartPath {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match &self.0 {
            Some(path) => path.to_tokens(tokens),
            None => tokens.extend(quote!(::kart)),
        }
    }
}

impl Task {
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| param.is_field())
    }

    /// The required parameters by name: the place of one is its index for `Call::input`.
    pub(crate) fn required(&self) -> Vec<&Param> {
        let mut required: Vec<&Param> = self
            .params
            .iter()
            .filter(|param| param.is_required())
            .collect();
        required.sort_by(|a, b| a.name.cmp(&b.name));
        required
    }

    /// The plain parameters that an expression speaks of.
    pub(crate) fn mentioned(&self, expr: &TokenStream) -> Vec<&Param> {
        let plain = self.params.iter().filter(|param| param.plain().is_some());
        plain
            .filter(|param| names::mentions(expr, &param.name))
            .collect()
    }

    /// Whether the path holds the parameter.
    pub(crate) fn path_holds(&self, name: &str) -> bool {
        let mut segments = self.path.iter().flatten();
        segments.any(|segment| matches!(segment, Segment::Param(param) if param == name))
    }

    pub(crate) fn is_external(&self) -> bool {
        self.options.external.is_some()
    }
}
