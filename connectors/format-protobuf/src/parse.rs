//! Schemas from the text of a `.proto` file: messages, enums, lists, maps, `oneof`, `optional` and
//! `google.protobuf.Timestamp` of proto3. Options, services and reserved ranges are skipped.

use std::collections::BTreeMap;

use crate::schema::{Enum, Field, Kind, Label, Message, Scalar, Schema};
use crate::tokens::{Token, tokens};

const MOST_MESSAGES: usize = 1_000;
const MOST_FIELDS: usize = 10_000;
const MOST_DEPTH: usize = 32;
const TIMESTAMP: &str = "google.protobuf.Timestamp";

pub fn schema(text: &str) -> Result<Schema, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, package: String::new(), schema: Schema::default(), open: Vec::new(), fields: 0 };
    parser.file()?;
    parser.resolve()?;
    for message in &parser.schema.messages {
        message.check().map_err(|problem| format!("`{}`: {problem}", message.name))?;
    }
    if parser.schema.messages.is_empty() {
        return Err("there is no message in it".to_owned());
    }
    Ok(parser.schema)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    package: String,
    schema: Schema,
    /// Types to be looked up once all are known: message, field, name, line.
    open: Vec<(usize, usize, String, usize)>,
    fields: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    fn error<T>(&self, words: &str) -> Result<T, String> {
        Err(format!("line {}: {words}", self.line()))
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    fn sign(&mut self, sign: char) -> Result<(), String> {
        if !self.is_sign(sign) {
            return self.error(&format!("a `{sign}` is missing"));
        }
        self.at += 1;
        Ok(())
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.error(&format!("the name of {what} is missing")),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let negative = self.is_sign('-');
        if negative {
            self.at += 1;
        }
        let Some(Token::Number(digits)) = self.peek() else { return self.error("a number is missing") };
        let (radix, digits) = match digits.as_bytes() {
            [b'0', b'x' | b'X', ..] => (16, digits.get(2..).unwrap_or_default()),
            [b'0', _, ..] => (8, digits.get(1..).unwrap_or_default()),
            _ => (10, digits.as_str()),
        };
        let number = i64::from_str_radix(digits, radix);
        match number {
            Ok(number) => {
                self.at += 1;
                Ok(if negative { -number } else { number })
            }
            Err(_) => self.error("a number that is none"),
        }
    }

    /// Over everything up to a `;`.
    fn skip_statement(&mut self) -> Result<(), String> {
        while !self.is_sign(';') {
            if self.next().is_none() {
                return self.error("a `;` is missing");
            }
        }
        self.sign(';')
    }

    /// Over a block in braces, with those in it.
    fn skip_block(&mut self) -> Result<(), String> {
        while !self.is_sign('{') {
            if self.next().is_none() {
                return self.error("a `{` is missing");
            }
        }
        let mut depth = 0_usize;
        loop {
            match self.next() {
                Some(Token::Sign('{')) => depth += 1,
                Some(Token::Sign('}')) => depth -= 1,
                Some(_) => {}
                None => return self.error("a `}` is missing"),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn file(&mut self) -> Result<(), String> {
        let mut messages = 0;
        while let Some(token) = self.peek().cloned() {
            let Token::Name(word) = token else {
                self.sign(';')?;
                continue;
            };
            self.at += 1;
            match word.as_str() {
                "syntax" => {
                    self.sign('=')?;
                    if self.next() != Some(Token::Text("proto3".to_owned())) {
                        self.at -= 1;
                        return self.error("only proto3 is read");
                    }
                    self.sign(';')?;
                }
                "package" => {
                    self.package = self.name("the package")?;
                    self.sign(';')?;
                }
                "import" => match self.next() {
                    Some(Token::Text(file)) if file == "google/protobuf/timestamp.proto" => self.sign(';')?,
                    _ => {
                        self.at -= 1;
                        return self.error("only google/protobuf/timestamp.proto is imported; put the messages into one text");
                    }
                },
                "option" => self.skip_statement()?,
                "service" => self.skip_block()?,
                "message" => {
                    let scope = self.package.clone();
                    self.message(&scope, &[], messages)?;
                    messages += 1;
                }
                "enum" => {
                    let scope = self.package.clone();
                    self.enumeration(&scope)?;
                }
                other => {
                    self.at -= 1;
                    return self.error(&format!("`{other}` is not read here"));
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, scope: &str, around: &[usize], number: usize) -> Result<(), String> {
        if self.schema.messages.len() >= MOST_MESSAGES {
            return self.error(&format!("more than {MOST_MESSAGES} messages"));
        }
        if around.len() >= MOST_DEPTH {
            return self.error(&format!("messages lie more than {MOST_DEPTH} deep in each other"));
        }
        let name = self.name("the message")?;
        let name = self.declared(scope, &name)?;
        let place: Vec<usize> = around.iter().copied().chain([number]).collect();
        let own = self.schema.messages.len();
        self.schema.messages.push(Message { name: name.clone(), fields: Vec::new(), place: place.clone() });
        self.sign('{')?;
        let (mut inner, mut oneofs) = (0, 0);
        loop {
            match self.peek().cloned() {
                Some(Token::Sign('}')) => {
                    self.at += 1;
                    return Ok(());
                }
                Some(Token::Sign(';')) => self.at += 1,
                Some(Token::Name(word)) => match word.as_str() {
                    "message" => {
                        self.at += 1;
                        self.message(&name, &place, inner)?;
                        inner += 1;
                    }
                    "enum" => {
                        self.at += 1;
                        self.enumeration(&name)?;
                    }
                    "option" | "reserved" => self.skip_statement()?,
                    "oneof" => {
                        self.at += 1;
                        self.name("the oneof")?;
                        self.sign('{')?;
                        while !self.is_sign('}') {
                            match self.peek() {
                                Some(Token::Name(word)) if word == "option" => self.skip_statement()?,
                                _ => self.field(own, Label::Optional, Some(oneofs))?,
                            }
                        }
                        self.sign('}')?;
                        oneofs += 1;
                    }
                    "map" => self.map(own)?,
                    "optional" | "repeated" => {
                        self.at += 1;
                        self.field(own, if word == "optional" { Label::Optional } else { Label::Repeated }, None)?;
                    }
                    "required" | "group" | "extensions" | "extend" => return self.error(&format!("`{word}` is not of proto3")),
                    _ => self.field(own, Label::Implicit, None)?,
                },
                _ => return self.error("a `}` is missing"),
            }
        }
    }

    /// The full name of a type, which must be new.
    fn declared(&self, scope: &str, name: &str) -> Result<String, String> {
        if name.contains('.') {
            return self.error(&format!("`{name}` is no name"));
        }
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        let known = self.schema.messages.iter().map(|message| &message.name).chain(self.schema.enums.iter().map(|own| &own.name)).any(|own| *own == full);
        if known { self.error(&format!("`{full}` is defined twice")) } else { Ok(full) }
    }

    fn field(&mut self, message: usize, label: Label, oneof: Option<usize>) -> Result<(), String> {
        let line = self.line();
        let kind = self.name("a type")?;
        self.finish(message, &kind, line, label, oneof)
    }

    fn map(&mut self, message: usize) -> Result<(), String> {
        let line = self.line();
        self.at += 1;
        if !self.is_sign('<') {
            // A message may be called so.
            return self.finish(message, "map", line, Label::Implicit, None);
        }
        self.sign('<')?;
        let key = self.name("the key's type")?;
        let Some(key) = Scalar::named(&key).filter(|key| key.is_key()) else { return self.error(&format!("`{key}` is no type of a map's key")) };
        self.sign(',')?;
        let value = self.name("the value's type")?;
        self.sign('>')?;
        self.finish(message, &value, line, Label::Map(key), None)
    }

    /// The rest of a field behind its type.
    fn finish(&mut self, message: usize, kind: &str, line: usize, label: Label, oneof: Option<usize>) -> Result<(), String> {
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return self.error(&format!("more than {MOST_FIELDS} fields"));
        }
        let name = self.name("a field")?;
        self.sign('=')?;
        let number = self.number()?;
        let Ok(number) = u32::try_from(number) else { return self.error("the number of a field is from 1 to 536870911") };
        if self.is_sign('[') {
            while !self.is_sign(']') {
                if self.next().is_none() {
                    return self.error("a `]` is missing");
                }
            }
            self.sign(']')?;
        }
        self.sign(';')?;
        let scalar = Scalar::named(kind);
        let Some(own) = self.schema.messages.get_mut(message) else { return Ok(()) };
        own.fields.push(Field { name, number, kind: Kind::Scalar(scalar.unwrap_or(Scalar::Bytes)), label, oneof });
        if scalar.is_none() {
            self.open.push((message, own.fields.len() - 1, kind.to_owned(), line));
        }
        Ok(())
    }

    fn enumeration(&mut self, scope: &str) -> Result<(), String> {
        let name = self.name("the enum")?;
        let name = self.declared(scope, &name)?;
        self.sign('{')?;
        let mut values = Vec::new();
        while !self.is_sign('}') {
            match self.peek() {
                Some(Token::Sign(';')) => self.at += 1,
                Some(Token::Name(word)) if word == "option" || word == "reserved" => self.skip_statement()?,
                _ => {
                    let value = self.name("a value")?;
                    self.sign('=')?;
                    let number = self.number()?;
                    let Ok(number) = i32::try_from(number) else { return self.error("the number of a value does not fit 32 bits") };
                    values.push((value, number));
                    self.skip_statement()?;
                }
            }
        }
        self.sign('}')?;
        if values.first().is_none_or(|(_, number)| *number != 0) {
            return self.error(&format!("the first value of `{name}` is not 0"));
        }
        self.schema.enums.push(Enum { name, values });
        Ok(())
    }

    /// Looks types up from the innermost scope outwards.
    fn resolve(&mut self) -> Result<(), String> {
        let messages = self.schema.messages.iter().enumerate().map(|(at, message)| (message.name.clone(), Kind::Message(at)));
        let enums = self.schema.enums.iter().enumerate().map(|(at, own)| (own.name.clone(), Kind::Enum(at)));
        let mut types: BTreeMap<String, Kind> = messages.chain(enums).collect();
        types.entry(TIMESTAMP.to_owned()).or_insert(Kind::Timestamp);
        for (message, field, name, line) in std::mem::take(&mut self.open) {
            let scope = self.schema.messages.get(message).map(|message| message.name.clone()).unwrap_or_default();
            let found = find(&types, &scope, &name).ok_or_else(|| format!("line {line}: there is no type `{name}`"))?;
            if let Some(field) = self.schema.messages.get_mut(message).and_then(|message| message.fields.get_mut(field)) {
                field.kind = found;
            }
        }
        Ok(())
    }
}

fn find(types: &BTreeMap<String, Kind>, scope: &str, name: &str) -> Option<Kind> {
    if let Some(absolute) = name.strip_prefix('.') {
        return types.get(absolute).copied();
    }
    let mut scope = scope;
    loop {
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        if let Some(found) = types.get(&full) {
            return Some(*found);
        }
        if scope.is_empty() {
            return None;
        }
        scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
}
