use super::*;
use crate::Broken;

const TEXT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn a_key_is_read_in_every_spelling_and_has_one_id() {
    let key = Key::parse(TEXT).unwrap();
    let digits = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    for spelling in [TEXT, TEXT.trim_end_matches('='), &format!(" {TEXT}\n"), digits] {
        assert_eq!(Key::parse(spelling).unwrap().id(), key.id(), "{spelling}");
    }
    let slash = "/+ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    assert_eq!(Key::parse(slash).unwrap().id(), Key::parse(&slash.replace('/', "_").replace('+', "-")).unwrap().id());
    // The id is part of what lies on disk and in records: it must never change.
    assert_eq!(key.id().to_string(), "2d8db55cf743d53e");
    assert_eq!(key.id().to_string().parse(), Ok(key.id()));
    assert_ne!(Key::parse(slash).unwrap().id(), key.id());
}

#[test]
fn what_is_no_key_is_refused_without_being_repeated() {
    for (text, fault) in [
        ("", KeyFault::Form),
        ("correct horse battery staple", KeyFault::Form),
        ("AAECAwQFBgcICQoLDA0ODw==", KeyFault::Form),
        (&"00".repeat(33), KeyFault::Form),
        (&"zz".repeat(32), KeyFault::Form),
        (&"00".repeat(32), KeyFault::Weak),
        (&"0123".repeat(16), KeyFault::Weak),
    ] {
        assert_eq!(Key::parse(text).unwrap_err(), fault, "{text}");
    }
    assert!(!format!("{:?}", Key::parse(TEXT)).contains("AAEC"));
    for no in ["", "0", "000102030405060", "00010203040506XX", "0001020304050607a", "000102030405060A"] {
        assert!(no.parse::<KeyId>().is_err(), "{no}");
    }
}

#[test]
fn what_is_sealed_opens_only_under_the_same_key_purpose_place_and_data() {
    let (one, two) = (Key::parse(TEXT).unwrap(), Key::parse(&"0f1e2d3c4b5a69788796a5b4c3d2e1f0".repeat(2)).unwrap());
    let mut text = *b"the clear text";
    let tag = one.cipher("test", b"here").seal([1; 12], b"data", &mut text);
    assert_ne!(&text, b"the clear text");
    let sealed = [&text[..], &tag].concat();
    let open = |cipher: Cipher, nonce, data: &[u8], sealed: &[u8]| cipher.open([nonce; 12], data, &mut sealed.to_vec()).map(|text| text.to_vec());
    assert_eq!(open(one.cipher("test", b"here"), 1, b"data", &sealed).as_deref(), Ok(&b"the clear text"[..]));
    assert_eq!(open(two.cipher("test", b"here"), 1, b"data", &sealed), Err(Broken));
    assert_eq!(open(one.cipher("other", b"here"), 1, b"data", &sealed), Err(Broken));
    assert_eq!(open(one.cipher("test", b"there"), 1, b"data", &sealed), Err(Broken));
    assert_eq!(open(one.cipher("test", b"here"), 2, b"data", &sealed), Err(Broken));
    assert_eq!(open(one.cipher("test", b"here"), 1, b"other", &sealed), Err(Broken));
    for byte in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[byte] ^= 1;
        assert_eq!(open(one.cipher("test", b"here"), 1, b"data", &changed), Err(Broken), "byte {byte}");
    }
}

#[test]
fn a_keyring_seals_with_the_first_and_opens_with_all() {
    let keys = [TEXT, &"0f1e2d3c4b5a69788796a5b4c3d2e1f0".repeat(2)].map(|text| Key::parse(text).unwrap());
    let ids = keys.clone().map(|key| key.id());
    let [current, older] = keys;
    let ring = Keyring::new(current, [older]);
    assert_eq!((ring.current().id(), ring.ids().collect::<Vec<_>>()), (ids[0], ids.to_vec()));
    assert!(ids.iter().all(|id| ring.get(*id).is_some()) && ring.get(KeyId([0; 8])).is_none());
    assert_eq!(format!("{ring:?}"), format!("[KeyId({}), KeyId({})]", ids[0], ids[1]));
}
