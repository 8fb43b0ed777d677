//! The doc comment as help text.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of a doc comment: the lines of a paragraph joined, paragraphs apart. Empty if there is none.
pub fn text(attrs: &[Attribute]) -> String {
    let mut help = String::new();
    for attr in attrs.iter().filter(|a| a.path().is_ident("doc")) {
        let Meta::NameValue(pair) = &attr.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { continue };
        for line in text.value().lines() {
            let line = line.trim();
            if line.is_empty() {
                if !help.is_empty() && !help.ends_with('\n') {
                    help.push('\n');
                }
            } else {
                if !help.is_empty() && !help.ends_with('\n') {
                    help.push(' ');
                }
                help.push_str(line);
            }
        }
    }
    help.trim_end().to_owned()
}
