//! `#[derive(Config)]`: from one struct, the JSON Schema that goes into the component's manifest and
//! the reading of the configuration that the schema describes, so that the two cannot drift apart.
//!
//! Doc comments become descriptions, `Option` fields may be left out, everything unknown is refused.
//! `#[config(default = "100MiB")]` gives a default (a literal), `#[config(default)]` the default of a
//! nested struct whose fields all have one, `min` and `max` bound numbers and lengths, `rename` gives
//! another name, `example` a value that fits where a plain text does not. Enums have unit variants only and read as snake case.
//!
//! Refused at compile time: generics, tuple structs, enum variants with fields.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens};
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, parse_macro_input};

mod attributes;
mod fields;

use attributes::Attributes;

/// See the crate.
#[proc_macro_derive(Config, attributes(config))]
pub fn config(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> Result<Tokens> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a configuration has no generic parameters"));
    }
    let parts = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => fields::expand(&input.ident, named)?,
            _ => return Err(Error::new_spanned(&input.ident, "a configuration needs named fields")),
        },
        Data::Enum(data) => expand_enum(input, data)?,
        Data::Union(_) => return Err(Error::new_spanned(&input.ident, "a configuration is a struct or an enum")),
    };
    let Expanded { name, body, read } = parts;
    Ok(quote! {
        impl ::bulkhead_sdk::Config for #name {
            const BODY: &'static str = {
                const PARTS: &[&str] = &[#(#body),*];
                const TEXT: [u8; ::bulkhead_sdk::config::private::length(PARTS)] = ::bulkhead_sdk::config::private::join(PARTS);
                match ::core::str::from_utf8(&TEXT) {
                    Ok(text) => text,
                    Err(_) => panic!("parts of text are text"),
                }
            };
            fn read(value: ::bulkhead_sdk::Value<'_>, at: &str) -> ::core::result::Result<Self, ::std::string::String> {
                #read
            }
        }
    })
}

/// What a derive consists of.
struct Expanded {
    name: syn::Ident,
    /// Constant pieces of the schema, one behind the other.
    body: Vec<Tokens>,
    /// From `value` at the path `at` to the type.
    read: Tokens,
}

fn expand_enum(input: &DeriveInput, data: &syn::DataEnum) -> Result<Expanded> {
    let (mut arms, mut names) = (Vec::new(), Vec::new());
    for (place, variant) in data.variants.iter().enumerate() {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "variants of a configuration have no fields"));
        }
        let attributes = Attributes::read(&variant.attrs)?;
        let ident = &variant.ident;
        names.push(attributes.rename.unwrap_or_else(|| snake_case(&ident.to_string())));
        // The last one stands for the rest: the place was found in the list of names.
        let pattern = if place + 1 == data.variants.len() {
            quote! { _ }
        } else {
            quote! { #place }
        };
        arms.push(quote! { #pattern => Self::#ident });
    }
    let listed: Vec<String> = names.iter().map(|name| json_string(name)).collect();
    let schema = format!("\"type\":\"string\",\"enum\":[{}]", listed.join(","));
    Ok(Expanded {
        name: input.ident.clone(),
        body: vec![quote! { #schema }],
        read: quote! { Ok(match ::bulkhead_sdk::config::private::choice(value, at, &[#(#names),*])? { #(#arms),* }) },
    })
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// Text as a JSON string with its quotes.
fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            _ if u32::from(letter) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn ident(name: &str) -> syn::Ident {
    syn::Ident::new(name, Span::call_site())
}
