//! `#[derive(Config)]`: from one struct, the JSON Schema that goes into the component's manifest and
//! the reading of the configuration that the schema describes, so that the two cannot drift apart.
//!
//! Doc comments become descriptions, `Option` fields may be left out, everything unknown is refused.
//! `#[config(default = "100MiB")]` gives a default (a literal), `#[config(default)]` the default of a
//! nested struct whose fields all have one, `min` and `max` bound numbers and lengths, `rename` gives
//! another name. Enums have unit variants only and read as snake case.
//!
//! Refused at compile time: generics, tuple structs, enum variants with fields.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens};
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, parse_macro_input};

mod attributes;
mod fields;

use attributes::Attributes;

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
    let Expanded { name, shadow, body, read } = parts;
    Ok(quote! {
        const _: () = {
            #shadow
            impl<'de> ::bulkhead_sdk::config::private::serde::Deserialize<'de> for #name {
                fn deserialize<D: ::bulkhead_sdk::config::private::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                    let shadow = <Shadow as ::bulkhead_sdk::config::private::serde::Deserialize<'de>>::deserialize(deserializer)?;
                    #read
                }
            }
            impl ::bulkhead_sdk::Config for #name {
                const BODY: &'static str = {
                    const PARTS: &[&str] = &[#(#body),*];
                    const TEXT: [u8; ::bulkhead_sdk::config::private::length(PARTS)] = ::bulkhead_sdk::config::private::join(PARTS);
                    match ::core::str::from_utf8(&TEXT) {
                        Ok(text) => text,
                        Err(_) => panic!("parts of text are text"),
                    }
                };
            }
        };
    })
}

/// What a derive consists of.
struct Expanded {
    name: syn::Ident,
    /// The type that serde derives for, with helpers.
    shadow: Tokens,
    /// Constant pieces of the schema, one behind the other.
    body: Vec<Tokens>,
    /// From `shadow` to the real type, bounds checked.
    read: Tokens,
}

fn expand_enum(input: &DeriveInput, data: &syn::DataEnum) -> Result<Expanded> {
    let (mut shadow, mut arms, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "variants of a configuration have no fields"));
        }
        let attributes = Attributes::read(&variant.attrs)?;
        let ident = &variant.ident;
        let name = attributes.rename.unwrap_or_else(|| snake_case(&ident.to_string()));
        shadow.push(quote! { #[serde(rename = #name)] #ident });
        arms.push(quote! { Shadow::#ident => Self::#ident });
        names.push(json_string(&name));
    }
    let schema = format!("\"type\":\"string\",\"enum\":[{}]", names.join(","));
    Ok(Expanded {
        name: input.ident.clone(),
        shadow: quote! {
            #[derive(::bulkhead_sdk::config::private::serde::Deserialize)]
            #[serde(crate = "::bulkhead_sdk::config::private::serde")]
            enum Shadow { #(#shadow),* }
        },
        body: vec![quote! { #schema }],
        read: quote! { Ok(match shadow { #(#arms),* }) },
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
