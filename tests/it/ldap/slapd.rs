//! OpenLDAP's server, as Debian packs it, with a few people and groups, changed by OpenLDAP's own tools.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bulkhead_tests::skip::skip;
use bulkhead_tests::{host, port, wait};
use tempfile::TempDir;

use crate::pki::{Authority, write};
use crate::story::PATIENCE;

pub const PASSWORD: &str = "directory oak trees";
pub const BIND_PASSWORD: &str = "what-the-host-says-3f9c";
const ADMIN: &str = "cn=admin,dc=example,dc=org";
const ADMIN_PASSWORD: &str = "admin";
/// A name full of signs that mean something in filters, in names, or in both.
pub const ODD: &str = r"o'brien (ops)*, \x";
const ODD_DN: &str = r"uid=o'brien (ops)*\, \\x,ou=people,dc=example,dc=org";

pub struct Slapd {
    dir: TempDir,
    root: PathBuf,
    running: Option<Child>,
    ldaps: SocketAddr,
    plain: SocketAddr,
}

impl Slapd {
    pub fn start(test: &str) -> Option<Self> {
        let root = host::root().join("target/debian");
        if !root.join("usr/sbin/slapd").is_file() || !root.join("usr/bin/ldapmodify").is_file() {
            skip(test, "no slapd in target/debian; .ci/run unpacks it there");
            return None;
        }
        let dir = TempDir::new().expect("a folder");
        let authority = Authority::new("of the directory");
        authority.server(&["127.0.0.1"]).write(dir.path(), "server");
        write(dir.path(), "ca.pem", authority.pem());
        write(dir.path(), "other-ca.pem", Authority::new("of somebody else").pem());
        fs::create_dir(dir.path().join("db")).expect("a folder");
        let free = || port::free().expect("a port");
        let mut slapd = Self { dir, root, running: None, ldaps: free(), plain: free() };
        slapd.configure();
        slapd.run();
        slapd.change("ldapadd", &people());
        Some(slapd)
    }

    pub fn ldaps(&self) -> String {
        format!("ldaps://{}", self.ldaps)
    }

    /// Without TLS at first.
    pub fn ldap(&self) -> String {
        format!("ldap://{}", self.plain)
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn configure(&self) {
        let (root, dir) = (self.root.display(), self.dir.path().display());
        // Nothing is answered without TLS: a client that spoke in the clear would not get through these stories.
        let text = format!(
            "include {root}/etc/ldap/schema/core.schema\ninclude {root}/etc/ldap/schema/cosine.schema\ninclude {root}/etc/ldap/schema/inetorgperson.schema\n\
             modulepath {root}/usr/lib/ldap\nmoduleload back_mdb\nmoduleload memberof\n\
             TLSCertificateFile {dir}/server.pem\nTLSCertificateKeyFile {dir}/server.key\nsecurity ssf=128\n\
             database mdb\nsuffix dc=example,dc=org\nrootdn {ADMIN}\nrootpw {ADMIN_PASSWORD}\ndirectory {dir}/db\noverlay memberof\n\
             access to attrs=userPassword by anonymous auth\naccess to * by users read\n"
        );
        write(self.dir.path(), "slapd.conf", &text);
    }

    pub fn run(&mut self) {
        let urls = format!("{}/ {}/", self.ldaps(), self.ldap());
        let mut command = self.tool("usr/sbin/slapd");
        command.arg("-f").arg(self.dir.path().join("slapd.conf")).args(["-h", &urls, "-d", "0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        wait::until("slapd listens", PATIENCE, || {
            assert!(child.try_wait()?.is_none(), "slapd ended before it listened");
            Ok(TcpStream::connect(self.ldaps).and_then(|_| TcpStream::connect(self.plain)).ok())
        })
        .expect("slapd listens");
        self.running = Some(child);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Puts somebody into a group, or takes them out.
    #[track_caller]
    pub fn member(&self, change: &str, group: &str, name: &str) {
        self.change(
            "ldapmodify",
            &format!("dn: cn={group},ou=groups,dc=example,dc=org\nchangetype: modify\n{change}: member\nmember: uid={name},ou=people,dc=example,dc=org\n"),
        );
    }

    #[track_caller]
    pub fn change(&self, tool: &str, ldif: &str) {
        let mut command = self.tool(&format!("usr/bin/{tool}"));
        command.env("LDAPTLS_CACERT", self.dir.path().join("ca.pem")).args(["-x", "-H", &self.ldaps(), "-D", ADMIN, "-w", ADMIN_PASSWORD]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        child.stdin.take().expect("piped").write_all(ldif.as_bytes()).expect("takes it");
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.root.join(name));
        command.env("LD_LIBRARY_PATH", libraries(&self.root));
        command
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `usr/lib/<architecture>` of what was unpacked.
fn libraries(root: &Path) -> PathBuf {
    let lib = root.join("usr/lib");
    let found = fs::read_dir(&lib).into_iter().flatten().flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    found.unwrap_or(lib)
}

fn people() -> String {
    let mut out = String::from("dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\n");
    for unit in ["people", "contractors", "groups", "services"] {
        out.push_str(&format!("dn: ou={unit},dc=example,dc=org\nobjectClass: organizationalUnit\nou: {unit}\n\n"));
    }
    let person =
        |dn: &str, uid: &str, password: &str| format!("dn: {dn}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\nuserPassword: {password}\n\n");
    out.push_str(&person("uid=bulkhead,ou=services,dc=example,dc=org", "bulkhead", BIND_PASSWORD));
    for name in ["ada", "bob", "carl", "eve", "twin"] {
        out.push_str(&person(&format!("uid={name},ou=people,dc=example,dc=org"), name, PASSWORD));
    }
    out.push_str(&person("uid=twin,ou=contractors,dc=example,dc=org", "twin", PASSWORD));
    out.push_str(&person(ODD_DN, ODD, PASSWORD));
    for (group, members) in [
        ("SOC Admins", vec!["uid=ada,ou=people,dc=example,dc=org", "uid=carl,ou=people,dc=example,dc=org"]),
        ("viewers", vec!["uid=bob,ou=people,dc=example,dc=org", "uid=twin,ou=people,dc=example,dc=org", ODD_DN]),
        ("others", vec!["uid=eve,ou=people,dc=example,dc=org"]),
    ] {
        out.push_str(&format!("dn: cn={group},ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: {group}\n"));
        members.iter().for_each(|member| out.push_str(&format!("member: {member}\n")));
        out.push('\n');
    }
    out
}
