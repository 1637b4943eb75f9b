//! Reads doc comments and `#[config(..)]`.

use syn::{Attribute, Expr, ExprLit, ExprUnary, Lit, LitStr, Meta, Result, UnOp};

use crate::json_string;

#[derive(Default)]
pub struct Attributes {
    /// The doc comment on one line.
    pub description: String,
    /// The default as JSON text.
    pub default: Option<String>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub rename: Option<String>,
    /// A value that fits, for editors and tests, as JSON text.
    pub example: Option<String>,
    /// A secret, which hosts do not fill in from variables.
    pub secret: bool,
}

impl Attributes {
    pub fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut out = Self::default();
        for attribute in attributes {
            if attribute.path().is_ident("doc") {
                out.add_description(&attribute.meta);
            } else if attribute.path().is_ident("config") {
                attribute.parse_nested_meta(|meta| {
                    if meta.path.is_ident("default") {
                        out.default = Some(if meta.input.peek(syn::Token![=]) { json(&meta.value()?.parse()?)? } else { "{}".to_owned() });
                    } else if meta.path.is_ident("min") {
                        out.min = Some(integer(&meta.value()?.parse()?)?);
                    } else if meta.path.is_ident("max") {
                        out.max = Some(integer(&meta.value()?.parse()?)?);
                    } else if meta.path.is_ident("rename") {
                        out.rename = Some(meta.value()?.parse::<LitStr>()?.value());
                    } else if meta.path.is_ident("example") {
                        out.example = Some(json(&meta.value()?.parse()?)?);
                    } else if meta.path.is_ident("secret") {
                        out.secret = true;
                    } else {
                        return Err(meta.error("known are default, example, min, max, rename and secret"));
                    }
                    Ok(())
                })?;
            }
        }
        Ok(out)
    }

    fn add_description(&mut self, meta: &Meta) {
        let Meta::NameValue(pair) = meta else { return };
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return };
        let text = text.value();
        if !self.description.is_empty() && !text.trim().is_empty() {
            self.description.push(' ');
        }
        self.description.push_str(text.trim());
    }
}

/// A literal as JSON.
fn json(expression: &Expr) -> Result<String> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(json_string(&text.value())),
        Expr::Lit(ExprLit { lit: Lit::Bool(value), .. }) => Ok(value.value.to_string()),
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => Ok(number.base10_digits().to_owned()),
        other => integer(other).map(|number| number.to_string()),
    }
}

fn integer(expression: &Expr) -> Result<i64> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse(),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => Ok(-integer(expr)?),
        other => Err(syn::Error::new_spanned(other, "a literal is needed here")),
    }
}
