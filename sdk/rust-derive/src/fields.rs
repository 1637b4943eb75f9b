//! Named fields: their schema, their defaults, their bounds.

use quote::quote;
use syn::{FieldsNamed, GenericArgument, Ident, PathArguments, Result, Type};

use crate::attributes::Attributes;
use crate::{Expanded, ident, json_string};

pub fn expand(name: &Ident, fields: &FieldsNamed) -> Result<Expanded> {
    let mut body = vec![text("\"type\":\"object\",\"properties\":{")];
    let (mut slots, mut arms, mut known, mut checks, mut moves, mut required) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
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
        if let Some(example) = &attributes.example {
            tail.push_str(&format!(",\"examples\":[{example}]"));
        }
        if attributes.secret {
            tail.push_str(",\"writeOnly\":true");
        }
        tail.push('}');
        body.push(text(&tail));

        let slot = ident(&format!("field_{at}"));
        slots.push(quote! { let mut #slot: ::core::option::Option<#ty> = None; });
        arms.push(quote! { #wire => ::bulkhead_sdk::config::private::set(&mut #slot, value, path) });
        let absent = match (&attributes.default, optional) {
            (Some(json), _) => quote! { ::bulkhead_sdk::config::private::default_value(#json)? },
            (None, Some(_)) => quote! { None },
            (None, None) => {
                required.push(json_string(&wire));
                quote! { return Err(::bulkhead_sdk::config::private::missing(at, #wire)) }
            }
        };
        moves.push(quote! { #field_name: match #slot { Some(value) => value, None => #absent } });
        if attributes.min.is_some() || attributes.max.is_some() {
            let (min, max) = (option(attributes.min), option(attributes.max));
            checks.push(quote! { ::bulkhead_sdk::config::private::check(at, #wire, &read.#field_name, #min, #max)?; });
        }
        known.push(wire);
    }
    body.push(text(&format!("}},\"required\":[{}],\"additionalProperties\":false", required.join(","))));
    Ok(Expanded {
        name: name.clone(),
        body,
        read: quote! {
            #(#slots)*
            ::bulkhead_sdk::config::private::members(value, at, &mut |name, value, path| match name {
                #(#arms,)*
                _ => Err(::bulkhead_sdk::config::private::unknown(path, &[#(#known),*])),
            })?;
            let read = Self { #(#moves),* };
            #(#checks)*
            Ok(read)
        },
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
