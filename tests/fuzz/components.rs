//! What uploads are made of: components and their manifests, read without running or compiling them.

use bulkhead_sandbox::{CONTRACT, MANIFEST_SECTION, Manifest, inspect};
use sha2::{Digest as _, Sha256};

use crate::run;

/// Whatever the bytes are, the answer is short and harmless; what is taken is what the bytes say.
#[test]
fn components() {
    run("components", |bytes| match inspect(bytes) {
        Ok(found) => {
            assert!(found.in_words().iter().all(|sentence| !sentence.contains(char::is_control)));
            assert_eq!(found.digest[..], Sha256::digest(bytes)[..], "the digest is of all of it");
            assert_eq!(found.size, bytes.len() as u64);
            assert!(found.contract <= CONTRACT && found.imports.is_sorted());
            // A capability is there because an import is, whatever the manifest says.
            for name in &found.capabilities {
                assert!(found.imports.iter().any(|import| import.starts_with(&format!("bulkhead:connector/{name}@"))), "{name} without an import");
            }
            for import in &found.imports {
                assert!(import.starts_with("bulkhead:connector/") || import.starts_with("wasi:"), "{import} leads outside");
                assert!(!import.starts_with("wasi:sockets/"), "{import}");
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 200 << 10 && !text.contains(char::is_control), "{text:?}");
        }
    });
}

#[test]
fn manifests() {
    run("manifests", |bytes| match Manifest::parse(bytes) {
        Ok(manifest) => {
            assert!((1..=64).contains(&manifest.name.len()));
            let wants = manifest.wants.iter().flat_map(|want| [&want.interface].into_iter().chain(&want.methods).chain(&want.paths).chain(&want.reason));
            for text in [&manifest.version].into_iter().chain(&manifest.vendor).chain(&manifest.docs).chain(&manifest.operations).chain(wants) {
                assert!(text.len() <= 1_024 && !text.contains(char::is_control), "{text:?}");
            }
        }
        Err(problem) => assert!(problem.len() < 400 && !problem.contains(char::is_control), "{problem:?}"),
    });
}

/// A manifest of any bytes in a component: it never adds to what the imports say.
#[test]
fn sections_of_components() {
    let plain = crate::toolkit::guests::Formatter::default().build();
    let without = inspect(&plain).expect("a formatter");
    run("manifests", |bytes| {
        let mut component = plain.clone();
        custom(&mut component, MANIFEST_SECTION, bytes);
        if let Ok(found) = inspect(&component) {
            assert_eq!((found.imports, found.capabilities, found.kind), (without.imports.clone(), without.capabilities.clone(), without.kind));
        }
        // Twice is refused, whatever they say.
        custom(&mut component, MANIFEST_SECTION, bytes);
        assert!(inspect(&component).is_err());
    });
}

/// Appends a custom section (WebAssembly core specification 2.0, §5.5.3).
fn custom(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut body = Vec::new();
    leb(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    component.push(0);
    leb(component, body.len());
    component.extend_from_slice(&body);
}

fn leb(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return;
        }
    }
}
