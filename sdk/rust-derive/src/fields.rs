//! Named fields: their schema, their defaults, their bounds.

use quote::quote;
use syn::{FieldsNamed, GenericArgument, Ident, PathArguments, Result, Type};

use crate::attributes::Attributes;
use crate::{Expanded, ident, json_string};

pub fn expand(name: &Ident, fields: &FieldsNamed) -> Result<Expanded> {
    let mut body = vec![text("\"type\":\"object\",\"properties\":{")];
    let (mut shadow, mut defaults, mut checks, mut moves, mut required) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, field) in fields.named.iter().enumerate() {
        let attributes = Attributes::read(&field.attrs)?;
        let Some(field_name) = &field.ident else { continue };
        let wire = attributes.rename.clone().unwrap_or_else(|| field_name.to_string().trim_start_matches("r#").to_owned());
        let ty = &field.ty;
        let optional = inner(ty, "Option");

        let mut head = format!("{}{}:{{", if at == 0 { "" } else { "," }, json_string(&wire));
        if !attributes.description.is_empty() {
            head.push_str(&format!("\"description\":{},", json_string(&attributes.description)));
        }
        body.push(text(&head));
        schema_of(optional.unwrap_or(ty), &attributes, &mut body);
        let mut tail = String::new();
        if let Some(default) = &attributes.default {
            tail.push_str(&format!(",\"default\":{default}"));
        }
        tail.push('}');
        body.push(text(&tail));

        let default = match &attributes.default {
            Some(json) => {
                let function = ident(&format!("default_{at}"));
                let function_name = function.to_string();
                defaults.push(quote! { fn #function() -> #ty { ::bulkhead_sdk::config::private::default_value(#json) } });
                quote! { #[serde(default = #function_name)] }
            }
            // serde takes a missing `Option` for `None` by itself.
            None => quote! {},
        };
        if attributes.default.is_none() && optional.is_none() {
            required.push(json_string(&wire));
        }
        shadow.push(quote! { #[serde(rename = #wire)] #default #field_name: #ty });
        moves.push(quote! { #field_name: shadow.#field_name });
        if attributes.min.is_some() || attributes.max.is_some() {
            let (min, max) = (option(attributes.min), option(attributes.max));
            checks.push(quote! { ::bulkhead_sdk::config::private::check(#wire, &shadow.#field_name, #min, #max)?; });
        }
    }
    body.push(text(&format!("}},\"required\":[{}],\"additionalProperties\":false", required.join(","))));
    Ok(Expanded {
        name: name.clone(),
        shadow: quote! {
            #[derive(::bulkhead_sdk::config::private::serde::Deserialize)]
            #[serde(crate = "::bulkhead_sdk::config::private::serde", deny_unknown_fields)]
            struct Shadow { #(#shadow),* }
            #(#defaults)*
        },
        body,
        read: quote! { #(#checks)* Ok(Self { #(#moves),* }) },
    })
}

/// The inside of a field's schema. Lists and maps are seen by their spelling: a constant cannot be
/// put together for a generic type.
fn schema_of(ty: &Type, attributes: &Attributes, body: &mut Vec<proc_macro2::TokenStream>) {
    if let Some(item) = inner(ty, "Vec") {
        body.push(text("\"type\":\"array\",\"items\":{"));
        schema_of(item, &Attributes::default(), body);
        body.push(text("}"));
        bounds("Items", attributes, body);
    } else if let Some(value) = inner(ty, "BTreeMap") {
        body.push(text("\"type\":\"object\",\"additionalProperties\":{"));
        schema_of(value, &Attributes::default(), body);
        body.push(text("}"));
    } else {
        body.push(quote! { <#ty as ::bulkhead_sdk::Config>::BODY });
        match last_segment(ty).as_deref() {
            Some("String") => bounds("Length", attributes, body),
            Some("u8" | "u16" | "u32" | "u64" | "usize") => numbers(attributes.min.or(Some(0)), attributes.max, body),
            _ => numbers(attributes.min, attributes.max, body),
        }
    }
}

fn bounds(of: &str, attributes: &Attributes, body: &mut Vec<proc_macro2::TokenStream>) {
    for (word, bound) in [("min", attributes.min), ("max", attributes.max)] {
        if let Some(bound) = bound {
            body.push(text(&format!(",\"{word}{of}\":{bound}")));
        }
    }
}

fn numbers(min: Option<i64>, max: Option<i64>, body: &mut Vec<proc_macro2::TokenStream>) {
    for (word, bound) in [("minimum", min), ("maximum", max)] {
        if let Some(bound) = bound {
            body.push(text(&format!(",\"{word}\":{bound}")));
        }
    }
}

/// The last generic argument of `wrapper<..>`, where the type is spelled so.
fn inner<'a>(ty: &'a Type, wrapper: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    if segment.ident != wrapper {
        return None;
    }
    match arguments.args.last()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}

fn last_segment(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

fn option(value: Option<i64>) -> proc_macro2::TokenStream {
    match value {
        Some(value) => quote! { Some(#value) },
        None => quote! { None },
    }
}

fn text(text: &str) -> proc_macro2::TokenStream {
    quote! { #text }
}
