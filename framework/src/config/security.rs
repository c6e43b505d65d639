//! Security: what clients are told of encryption and login, from librdkafka's names and from Java's, and what does not fit
//! together.
//!
//! 1. `security.protocol` decides. What it makes useless is refused: whoever sets it believes that it does something.
//! 2. Each thing (who is trusted, our own certificate, its key, the login) is named once, whichever names are used.
//! 3. Files are opened here, so that one that is missing is told at the start and by its name. Their form is what they hold,
//!    not what they are said to be: Java, too, reads PKCS12 where it was told JKS.
//! 4. No message shows a secret.

use super::jaas;
use super::pem::{self, Form};
use super::problem::Problem;
use super::values::Values;
use crate::kafka::{Identity, Login, Mechanism, Pem, Secret, Security, Tls};

/// What `values` say of security; what is wrong goes to `problems`.
pub(super) fn of(values: &Values, problems: &mut Vec<Problem>) -> Security {
    let protocol = values.text(PROTOCOL).unwrap_or_default();
    let (encrypts, logs_in) = (protocol.ends_with("SSL"), protocol.starts_with("SASL"));
    let mut desk = Desk { values, problems };
    if values.get(PROTOCOL).refused {
        return Security::default();
    }
    if encrypts && !cfg!(feature = "ssl") {
        desk.needs_feature(PROTOCOL);
        return Security::default();
    }
    if !encrypts {
        desk.useless("ssl.", "set it to SSL or SASL_SSL, or leave this out");
    }
    if !logs_in {
        desk.useless("sasl.", "set it to SASL_SSL or SASL_PLAINTEXT, or leave this out");
    }
    Security { tls: encrypts.then(|| desk.tls()), login: if logs_in { desk.login() } else { None } }
}

const PROTOCOL: &str = "security.protocol";
const MECHANISM: &str = "sasl.mechanism";
const JAAS: &str = "sasl.jaas.config";

/// Where settings become security.
struct Desk<'a> {
    values: &'a Values,
    problems: &'a mut Vec<Problem>,
}

impl Desk<'_> {
    fn refuse(&mut self, message: String, hint: &str) {
        self.problems.push(Problem::new(message, hint));
    }

    /// The property is set, and was not refused for itself.
    fn has(&self, name: &str) -> bool {
        self.values.is_given(name) && !self.values.get(name).refused
    }

    /// Nobody has set the property, rightly or wrongly.
    fn misses(&self, name: &str) -> bool {
        !self.values.is_given(name) && !self.values.get(name).refused
    }

    fn needs_feature(&mut self, name: &str) {
        let message = format!(
            "{} needs the feature `ssl`, which this program was built without",
            self.values.told(name)
        );
        self.refuse(message, "build it with `features = [\"ssl\"]` of `headwater` in `Cargo.toml`");
    }

    /// Refuses what begins with `group`.
    fn useless(&mut self, group: &str, hint: &str) {
        let names = self.values.iter().map(|chosen| chosen.property.name);
        let useless: Vec<_> = names.filter(|name| name.starts_with(group) && self.has(name)).collect();
        for name in useless {
            let (told, protocol) = (self.values.told(name), self.values.told(PROTOCOL));
            self.refuse(format!("{told} has no effect under {protocol}"), hint);
        }
    }

    /// The one of these properties that is set; a second one is refused.
    fn only(&mut self, names: &[&'static str]) -> Option<&'static str> {
        let mut given = names.iter().copied().filter(|name| self.values.is_given(name));
        let first = given.next()?;
        if let Some(second) = given.next() {
            let message =
                format!("{} and {} say the same", self.values.told(first), self.values.told(second));
            self.refuse(message, "give one of them");
        }
        self.has(first).then_some(first)
    }

    fn login(&mut self) -> Option<Login> {
        if self.misses(MECHANISM) {
            let told = self.values.told(PROTOCOL);
            self.refuse(
                format!("{told} needs `{MECHANISM}`"),
                "set it to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
            );
        }
        let mechanism = match self.values.text(MECHANISM) {
            Some("SCRAM-SHA-256") => Mechanism::ScramSha256,
            Some("SCRAM-SHA-512") => Mechanism::ScramSha512,
            _ => Mechanism::Plain,
        };
        if mechanism != Mechanism::Plain && !cfg!(feature = "ssl") {
            self.needs_feature(MECHANISM);
        }
        if self.values.is_given(JAAS) {
            for name in ["sasl.username", "sasl.password"] {
                self.only(&[JAAS, name]);
            }
            return self.by_jaas(mechanism);
        }
        for name in ["sasl.username", "sasl.password"] {
            if self.misses(name) {
                let told = self.values.told(PROTOCOL);
                let hint =
                    format!("set it; or `{JAAS}`, as Java clients have it, in place of name and password");
                self.refuse(format!("{told} needs `{name}`"), &hint);
            }
        }
        let username = self.values.text("sasl.username")?.to_owned();
        let password = self.values.secret("sasl.password")?.clone();
        Some(Login { mechanism, username, password })
    }

    fn by_jaas(&mut self, mechanism: Mechanism) -> Option<Login> {
        let told = self.values.told(JAAS);
        let jaas = match jaas::parse(self.values.secret(JAAS)?.reveal()) {
            Ok(jaas) => jaas,
            Err((why, hint)) => {
                self.refuse(format!("{told} {why}"), hint);
                return None;
            }
        };
        if self.has(MECHANISM) && jaas.is_scram == (mechanism == Mechanism::Plain) {
            let module = if jaas.is_scram { "ScramLoginModule" } else { "PlainLoginModule" };
            let message =
                format!("{told} names `{module}`, which is not for {}", self.values.told(MECHANISM));
            self.refuse(message, "PlainLoginModule is for PLAIN, ScramLoginModule for the two of SCRAM");
        }
        Some(Login { mechanism, username: jaas.username, password: jaas.password })
    }

    fn tls(&mut self) -> Tls {
        Tls {
            trust: self.trust(),
            identity: self.identity(),
            names_host: self.values.text("ssl.endpoint.identification.algorithm") != Some("none"),
        }
    }

    fn trust(&mut self) -> Option<Pem> {
        let name = self.only(&["ssl.ca.location", "ssl.ca.pem", "ssl.truststore.location"])?;
        if name == "ssl.ca.pem" {
            return self.text(name);
        }
        let (path, bytes) = self.read(name)?;
        let form = pem::form(&bytes);
        self.compare("ssl.truststore.type", name, form);
        match form {
            // A folder of certificates; OpenSSL looks into it.
            _ if bytes.is_empty() && std::path::Path::new(&path).is_dir() => {}
            Form::Jks | Form::Pkcs12 => {
                let told = self.values.told(name);
                let hint = format!(
                    "write its certificates to a file in PEM, `keytool -list -rfc -keystore {path} > ca.pem`, and name that \
                     by `ssl.ca.location`"
                );
                self.refuse(format!("{told} is a Java keystore, which OpenSSL does not read"), &hint);
            }
            _ => self.expect(name, &bytes, "CERTIFICATE", "certificate"),
        }
        Some(Pem::File(path))
    }

    fn identity(&mut self) -> Option<Identity> {
        const STORE: &str = "ssl.keystore.location";
        let certificate = self.only(&["ssl.certificate.location", "ssl.certificate.pem", STORE]);
        let key = self.only(&["ssl.key.location", "ssl.key.pem", STORE]);
        let (certificate, key) = match (certificate, key) {
            (Some(STORE), _) | (_, Some(STORE)) => return self.keystore(STORE),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(certificate), None) => {
                self.lacks(certificate, &["ssl.key.location", "ssl.key.pem"]);
                return None;
            }
            (None, Some(key)) => {
                self.lacks(key, &["ssl.certificate.location", "ssl.certificate.pem"]);
                return None;
            }
            (None, None) => {
                self.has("ssl.key.password")
                    .then(|| self.lacks("ssl.key.password", &["ssl.key.location", "ssl.key.pem"]));
                self.has("ssl.keystore.password").then(|| self.lacks("ssl.keystore.password", &[STORE]));
                return None;
            }
        };
        Some(Identity::Pem {
            certificate: self.pem(certificate, "CERTIFICATE", "certificate")?,
            key: self.pem(key, "PRIVATE KEY", "key")?,
            password: self.values.secret("ssl.key.password").cloned(),
        })
    }

    fn keystore(&mut self, name: &'static str) -> Option<Identity> {
        let (path, bytes) = self.read(name)?;
        let form = pem::form(&bytes);
        self.compare("ssl.keystore.type", name, form);
        let password = |name| self.values.secret(name).cloned();
        match form {
            Form::Pkcs12 => Some(Identity::Store { file: path, password: password("ssl.keystore.password") }),
            Form::Jks => {
                let told = self.values.told(name);
                let hint = format!(
                    "convert it, `keytool -importkeystore -srckeystore {path} -destkeystore client.p12 -deststoretype \
                     PKCS12`, and name that"
                );
                self.refuse(format!("{told} is in JKS, which OpenSSL does not read"), &hint);
                None
            }
            _ => {
                let password = password("ssl.key.password");
                if self.has("ssl.keystore.password") {
                    let told = self.values.told("ssl.keystore.password");
                    let message = format!("{told} has no effect: {} is in PEM", self.values.told(name));
                    self.refuse(message, "`ssl.key.password` is the key's, if it has one");
                }
                self.expect(name, &bytes, "CERTIFICATE", "certificate");
                self.expect(name, &bytes, "PRIVATE KEY", "key");
                let (certificate, key) = (Pem::File(path.clone()), Pem::File(path));
                Some(Identity::Pem { certificate, key, password })
            }
        }
    }

    /// Refuses a file that is not what it is said to be. JKS may be PKCS12, as it may for Java.
    fn compare(&mut self, kind: &str, name: &str, form: Form) {
        let said = self.values.text(kind).map(|said| said == "PEM");
        if name.contains("store") && said.is_some_and(|pem| pem != (form == Form::Pem)) {
            let (kind_told, told) = (self.values.told(kind), self.values.told(name));
            self.refuse(
                format!("{kind_told} is not what {told} is: it is {form}"),
                &format!("leave `{kind}` out, or name another file"),
            );
        }
    }

    /// The property makes sense only with one of `others`.
    fn lacks(&mut self, name: &str, others: &[&str]) {
        // One that was refused is told already.
        if others.iter().any(|other| self.values.get(other).refused) {
            return;
        }
        let others = others.iter().map(|other| format!("`{other}`")).collect::<Vec<_>>().join(" or ");
        let told = self.values.told(name);
        self.refuse(format!("{told} needs {others}"), "set it, or leave both out");
    }

    /// Certificates or a key, in a file or as text.
    fn pem(&mut self, name: &str, marker: &str, what: &str) -> Option<Pem> {
        if name.ends_with(".pem") {
            return self.text(name);
        }
        let (path, bytes) = self.read(name)?;
        self.expect(name, &bytes, marker, what);
        Some(Pem::File(path))
    }

    fn text(&self, name: &str) -> Option<Pem> {
        self.values.secret(name).map(|text: &Secret| Pem::Text(text.clone()))
    }

    /// The path that a property names, and what lies there; nothing of a folder.
    fn read(&mut self, name: &str) -> Option<(String, Vec<u8>)> {
        let path = self.values.text(name)?.to_owned();
        match std::fs::read(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => Some((path, Vec::new())),
            Err(error) => {
                let told = self.values.told(name);
                self.refuse(
                    format!("{told} cannot be read: {error}"),
                    "name a file that exists and may be read",
                );
                None
            }
        }
    }

    fn expect(&mut self, name: &str, bytes: &[u8], marker: &str, what: &str) {
        if !pem::holds(bytes, &format!("{marker}-----")) {
            let told = self.values.told(name);
            let message = format!("{told} holds no {what} in PEM");
            self.refuse(message, &format!("name a file with a line `-----BEGIN {marker}-----`"));
        }
    }
}
