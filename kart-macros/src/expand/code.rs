//! A fingerprint of a function's code: it changes with the tokens of the signature and the body, and with
//! neither comments nor layout.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

use crate::model::{Body, Func};

/// The fingerprint as 32 hex digits.
pub(super) fn fingerprint(func: &Func) -> String {
    let mut hash = Fnv::new();
    hash.tokens(func.sig.to_token_stream());
    if let Body::Block(_, body) = &func.body {
        hash.tokens(body.clone());
    }
    format!("{:032x}", hash.0)
}

/// FNV-1a with 128 bits (Fowler, Noll and Vo; RFC 9923): it tells versions of one function apart, which asks
/// for no cryptography.
struct Fnv(u128);

impl Fnv {
    fn new() -> Self {
        Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u128::from(*byte);
            self.0 = self
                .0
                .wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    /// One token with what kind it is, so that no two rows of tokens give the same bytes.
    fn token(&mut self, kind: u8, text: &str) {
        self.bytes(&[kind]);
        self.bytes(text.as_bytes());
        self.bytes(&[0]);
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            if is_hash(&token) && tokens.next_if(is_doc).is_some() {
                continue;
            }
            match token {
                TokenTree::Ident(word) => self.token(b'i', &word.to_string()),
                TokenTree::Literal(literal) => self.token(b'l', &literal.to_string()),
                // Whether marks touch is layout, but for operators such as `&&`, which nobody takes apart.
                TokenTree::Punct(mark) => {
                    self.token(b'p', mark.as_char().encode_utf8(&mut [0; 4]));
                }
                TokenTree::Group(group) => {
                    self.token(b'(', delimiter(group.delimiter()));
                    self.tokens(group.stream());
                    self.token(b')', "");
                }
            }
        }
    }
}

fn delimiter(delimiter: Delimiter) -> &'static str {
    match delimiter {
        Delimiter::Parenthesis => "(",
        Delimiter::Brace => "{",
        Delimiter::Bracket => "[",
        Delimiter::None => "",
    }
}

fn is_hash(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == '#')
}

/// What stands in the brackets of a doc comment.
fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else {
        return false;
    };
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(word)) if word == "doc")
}

#[cfg(test)]
mod tests {
    use super::fingerprint;
    use crate::model::Func;

    fn of(text: &str) -> String {
        fingerprint(&syn::parse_str::<Func>(text).unwrap())
    }

    #[test]
    fn comments_and_layout_do_not_count_and_code_does() {
        let plain = of("async fn f(x: u8) -> R { x + 1 }");
        assert_eq!(plain.len(), 32);
        let laid_out =
            of("/// Adds.\nasync fn f(\n  x:u8\n) -> R {\n  // one\n  x+ /* more */ 1\n}");
        assert_eq!(plain, laid_out);
        assert_eq!(of("fn f(x:&u8) -> R { 1 }"), of("fn f(x: &u8) -> R { 1 }"));
        let documented = of("fn f() -> R { /// Inner.\n struct A; 1 }");
        assert_eq!(documented, of("fn f() -> R { struct A; 1 }"));
        for other in [
            "async fn f(x: u8) -> R { x + 2 }",
            "async fn f(x: u8) -> R { x - 1 }",
            "async fn f(x: u16) -> R { x + 1 }",
            "fn f(x: u8) -> R { x + 1 }",
            "async fn f(x: u8) -> R { (x + 1) }",
            "async fn f(x: u8) -> R { x1 }",
        ] {
            assert_ne!(plain, of(other), "{other}");
        }
    }
}
