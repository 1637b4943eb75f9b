//! Streams, datagrams and credentials of native tests: what a peer says is given beforehand, what it
//! hears is kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use crate::credentials::Algorithm;
use crate::{tcp, udp};

/// Destination and bytes, in the order of the connections or datagrams.
pub type Heard = Rc<RefCell<Vec<(String, Vec<u8>)>>>;

/// What a test's peer does.
pub trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

/// The other end of a connection.
pub struct Peer {
    says: Box<dyn Duplex>,
    secure: bool,
    /// A real socket, whose reads end with the connection's timeout.
    socket: Option<TcpStream>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("secure", &self.secure).finish_non_exhaustive()
    }
}

impl Peer {
    /// Says this and then closes; `secure` stands for TLS.
    pub fn new(says: &[u8], secure: bool) -> Self {
        struct Script(io::Cursor<Vec<u8>>);
        impl Read for Script {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }
        impl Write for Script {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        Self::stream(Script(io::Cursor::new(says.to_vec())), secure)
    }

    /// Takes everything, says nothing and stays.
    pub fn silent(secure: bool) -> Self {
        struct Silent;
        impl Read for Silent {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
        impl Write for Silent {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        Self::stream(Silent, secure)
    }

    /// Any stream: a real socket, for example. A read that would block is one whose time is up.
    pub fn stream(stream: impl Duplex + 'static, secure: bool) -> Self {
        Self { says: Box::new(stream), secure, socket: None }
    }

    /// A real socket, on which the connection's timeout holds.
    pub fn socket(stream: TcpStream, secure: bool) -> io::Result<Self> {
        Ok(Self { socket: Some(stream.try_clone()?), ..Self::stream(stream, secure) })
    }
}

/// What a digest is made of beside the secret.
#[derive(Debug)]
pub enum Digest<'a> {
    Hash { before: &'a [u8], after: &'a [u8] },
    Hmac { message: &'a [u8] },
}

type Connect = Box<dyn FnMut(&str, &str) -> Result<Peer, tcp::Error>>;
type Datagram = Box<dyn FnMut(&str, &[u8]) -> Result<(), udp::Error>>;
type DigestWith = Box<dyn FnMut(&str, Algorithm, Digest<'_>) -> Vec<u8>>;

#[derive(Default)]
struct World {
    connect: Option<Connect>,
    datagram: Option<Datagram>,
    digest: Option<DigestWith>,
    streams: Heard,
    datagrams: Heard,
    /// By destination: name, user and secret.
    credentials: BTreeMap<String, (String, Option<String>, String)>,
}

thread_local! { static WORLD: RefCell<World> = RefCell::default(); }

/// Sets who answers this thread's connections from now on; answers what the peers hear.
pub fn on_tcp(connect: impl FnMut(&str, &str) -> Result<Peer, tcp::Error> + 'static) -> Heard {
    WORLD.with_borrow_mut(|world| {
        world.connect = Some(Box::new(connect));
        world.streams = Heard::default();
        Rc::clone(&world.streams)
    })
}

/// Sets who takes this thread's datagrams from now on; answers what was sent.
pub fn on_udp(datagram: impl FnMut(&str, &[u8]) -> Result<(), udp::Error> + 'static) -> Heard {
    WORLD.with_borrow_mut(|world| {
        world.datagram = Some(Box::new(datagram));
        world.datagrams = Heard::default();
        Rc::clone(&world.datagrams)
    })
}

/// Sets what makes digests: hash functions are the host's, a test brings what it needs.
pub fn on_digest(digest: impl FnMut(&str, Algorithm, Digest<'_>) -> Vec<u8> + 'static) {
    WORLD.with_borrow_mut(|world| world.digest = Some(Box::new(digest)));
}

/// Binds a credential to a destination; `user` for one of type `basic`.
pub fn bind_credential(destination: &str, name: &str, user: Option<&str>, secret: &str) {
    let credential = (name.to_owned(), user.map(str::to_owned), secret.to_owned());
    WORLD.with_borrow_mut(|world| world.credentials.insert(destination.to_owned(), credential));
}

pub(crate) fn udp(destination: &str, datagram: &[u8]) -> Result<(), udp::Error> {
    if datagram.len() > udp::MAX {
        return Err(udp::Error::Limit(format!("a datagram has at most {} bytes: {} asked for (rule 6)", udp::MAX, datagram.len())));
    }
    WORLD.with_borrow_mut(|world| {
        world.datagrams.borrow_mut().push((destination.to_owned(), datagram.to_vec()));
        match &mut world.datagram {
            Some(take) => take(destination, datagram),
            None => Err(udp::Error::Broken("nobody takes datagrams; call `native::on_udp` first".to_owned())),
        }
    })
}

pub(crate) mod tcp_host {
    use super::{Duration, Heard, Peer, Rc, Read as _, RefCell, WORLD, Write as _, io, tcp::Error};

    pub struct Raw {
        pub(super) peer: RefCell<Peer>,
        pub(super) destination: String,
        heard: Heard,
        at: usize,
        finished: RefCell<bool>,
    }

    impl Raw {
        pub(super) fn secure(&self) -> bool {
            self.peer.borrow().secure
        }
    }

    pub fn connect(destination: &str, member: &str, _timeout: u32) -> Result<Raw, Error> {
        WORLD.with_borrow_mut(|world| {
            let connect = world.connect.as_mut().ok_or_else(|| Error::Connect("nobody answers; call `native::on_tcp` first".to_owned()))?;
            let peer = connect(destination, member)?;
            let heard = Rc::clone(&world.streams);
            let at = heard.borrow().len();
            heard.borrow_mut().push((destination.to_owned(), Vec::new()));
            Ok(Raw { peer: RefCell::new(peer), destination: destination.to_owned(), heard, at, finished: RefCell::default() })
        })
    }

    pub fn write(raw: &Raw, bytes: &[u8], _timeout: u32) -> Result<(), Error> {
        if *raw.finished.borrow() {
            return Err(Error::Broken("the sending side was closed by `finish`".to_owned()));
        }
        raw.peer.borrow_mut().says.write_all(bytes).map_err(|error| Error::Broken(error.to_string()))?;
        raw.heard.borrow_mut()[raw.at].1.extend_from_slice(bytes);
        Ok(())
    }

    pub fn read(raw: &Raw, max: u32, timeout: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; max as usize];
        if let Some(socket) = &raw.peer.borrow().socket {
            let timeout = Duration::from_millis(timeout.max(1).into());
            socket.set_read_timeout(Some(timeout)).map_err(|error| Error::Broken(error.to_string()))?;
        }
        match raw.peer.borrow_mut().says.read(&mut bytes) {
            Ok(0) => Err(Error::Closed),
            Ok(length) => {
                bytes.truncate(length);
                Ok(bytes)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(Error::Timeout),
            Err(error) => Err(Error::Broken(error.to_string())),
        }
    }

    pub fn finish(raw: &Raw) -> Result<(), Error> {
        raw.finished.replace(true);
        Ok(())
    }

    pub fn secure(raw: &Raw) -> bool {
        raw.secure()
    }
}

pub(crate) mod credentials_host {
    use super::tcp_host::{Raw, write};
    use super::{Digest, WORLD};
    use crate::credentials::{Algorithm, Encoding, Error};

    fn encoded(raw: &Raw, name: &str, encoding: Encoding) -> Result<Vec<u8>, Error> {
        let (user, secret) = WORLD.with_borrow(|world| match world.credentials.get(&raw.destination) {
            Some((own, user, secret)) if own == name => Ok((user.clone(), secret.clone())),
            _ => Err(Error::Denied(format!("credential `{name}` is not the `credential` of destination `{}` (rule 5)", raw.destination))),
        })?;
        match (encoding, user) {
            (Encoding::Plain, _) => Ok(secret.into_bytes()),
            (Encoding::Base64, _) => Ok(base64(secret.as_bytes())),
            (Encoding::SaslPlainBase64, Some(user)) => Ok(base64(format!("\0{user}\0{secret}").as_bytes())),
            (Encoding::SaslPlainBase64, None) => Err(Error::Denied("SASL PLAIN carries a user name: it needs a credential of type basic (rule 5)".to_owned())),
        }
    }

    pub fn write_secret(raw: &Raw, name: &str, encoding: Encoding, timeout: u32) -> Result<(), Error> {
        let bytes = encoded(raw, name, encoding)?;
        if !raw.secure() {
            return Err(Error::Denied("the secret itself is written only under TLS; use a tls:// destination (rule 5)".to_owned()));
        }
        write(raw, &bytes, timeout).map_err(|error| Error::Broken(error.to_string()))
    }

    pub fn secret_length(raw: &Raw, name: &str, encoding: Encoding) -> Result<u32, Error> {
        encoded(raw, name, encoding).map(|bytes| bytes.len() as u32)
    }

    pub fn hash_with(raw: &Raw, name: &str, algorithm: Algorithm, before: &[u8], after: &[u8]) -> Result<Vec<u8>, Error> {
        digest(raw, name, algorithm, Digest::Hash { before, after })
    }

    pub fn hmac(raw: &Raw, name: &str, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        digest(raw, name, algorithm, Digest::Hmac { message })
    }

    fn digest(raw: &Raw, name: &str, algorithm: Algorithm, what: Digest<'_>) -> Result<Vec<u8>, Error> {
        encoded(raw, name, Encoding::Plain)?;
        WORLD.with_borrow_mut(|world| match &mut world.digest {
            Some(digest) => Ok(digest(name, algorithm, what)),
            None => Err(Error::Denied("nothing makes digests; call `native::on_digest` first".to_owned())),
        })
    }

    fn base64(bytes: &[u8]) -> Vec<u8> {
        let mut out = crate::Writer::default();
        crate::base64::encode(bytes, &mut out);
        out.into_bytes()
    }
}
