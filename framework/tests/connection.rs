//! How to connect: lines of properties in, what clients are told or the text of the error out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::LazyLock;

use headwater::config::Config;
use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{ClusterOptions, Mechanism};
#[cfg(feature = "ssl")]
use headwater::kafka::{Identity, Pem, Secret};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nY2VydA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\na2V5\n-----END PRIVATE KEY-----\n";

/// The files that connections name, of each kind one: name and path. Tests run at once: the first that needs them writes
/// them, the others wait.
static FILES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("connection");
    let both = format!("{KEY}{CERTIFICATE}");
    let files: [(&str, &[u8]); 7] = [
        ("ca.pem", CERTIFICATE.as_bytes()),
        ("client.pem", CERTIFICATE.as_bytes()),
        ("client.key", KEY.as_bytes()),
        ("both.pem", both.as_bytes()),
        ("store.p12", b"\x30\x82\x0a\x00\x02\x01\x03\x30"),
        ("store.jks", b"\xfe\xed\xfe\xed\0\0\0\x02"),
        ("text.txt", b"hello"),
    ];
    std::fs::create_dir_all(&folder).unwrap();
    let written = files.map(|(name, bytes)| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        (name, path.display().to_string())
    });
    written.into()
});

/// Puts the path of each file that is named, as `<ca.pem>`, into `lines`.
fn with_files(lines: &str) -> String {
    FILES.iter().fold(lines.to_owned(), |lines, (name, path)| lines.replace(&format!("<{name}>"), path))
}

/// What comes of `application.id=app` and `lines`, set from code.
fn configure(lines: &str) -> Result<Config, String> {
    let pairs = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = pairs.map(|line| line.split_once('=').unwrap()).chain([("application.id", "app")]);
    Config::from_properties(pairs).map_err(|error| error.to_string())
}

fn options(lines: &str) -> ClusterOptions {
    configure(&with_files(lines)).unwrap_or_else(|error| panic!("{lines}\n{error}")).cluster_options()
}

/// Checks that `lines` are refused with `expected`.
fn refused(lines: &str, expected: &str) {
    let lines = with_files(lines);
    assert_eq!(configure(&lines).expect_err(&lines), with_files(expected), "{lines}");
}

const SASL: &str = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n";
const USER: &str = "sasl.username=ann\nsasl.password=sesame\n";

#[test]
fn without_a_word_connections_are_plain() {
    let options = options("");
    assert_eq!((options.security.tls, options.security.login), (None, None));
    assert_eq!(options.compression, "none");
}

#[test]
fn a_login_comes_by_librdkafkas_names_or_by_javas() {
    let jaas = "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"ann\" \
                password=\"sesame\";";
    let cases = [
        format!("{SASL}{USER}"),
        format!("security.protocol=sasl_plaintext\nsasl.mechanisms=plain\n{USER}"),
        format!("{SASL}{jaas}"),
    ];
    for lines in cases {
        let login = options(&lines).security.login.unwrap();
        assert_eq!(
            (login.mechanism, login.username.as_str(), login.password.reveal()),
            (Mechanism::Plain, "ann", "sesame"),
            "{lines}"
        );
    }
}

#[test]
fn a_password_is_taken_as_it_is_and_never_shown() {
    let lines = format!("{SASL}sasl.username=ann\nsasl.password= se=same");
    let pairs = [("application.id", "app"), ("sasl.password", " sesame "), ("sasl.username", "ann")];
    let builder = pairs.iter().fold(Config::builder(), |builder, (name, value)| builder.set(*name, *value));
    let builder = builder.set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanism", "PLAIN");
    let printed = format!("{builder:?}");
    let config = builder.build().unwrap();
    assert_eq!(config.cluster_options().security.login.unwrap().password.reveal(), " sesame ");
    let printed = format!("{printed}{config:?}{:?}{}", config.cluster_options(), config.explain());
    let warned = config.unused_connection(&MemoryCluster::new()).unwrap();
    assert!(!printed.contains("sesame") && !warned.contains("sesame"), "{printed}{warned}");
    assert!(config.explain().contains("\nsasl.password = [hidden] (code)\n"));
    // Nor in an error.
    for more in ["sasl.password=", "sasl.jaas.config=sesame", "ssl.key.pem=sesame", "ssl.ca.pem=sesame"] {
        let error = configure(&format!("{lines}\n{more}")).unwrap_err();
        assert!(!error.contains("sesame") && !error.contains("se=same"), "{error}");
    }
    let builder = Config::builder()
        .set("application.id", "app")
        .environment([("HEADWATER_SASL_PASSWORD", "sesame"), ("HEADWATER_SASL_PASWORD", "sesame")]);
    assert!(!builder.build().unwrap_err().to_string().contains("sesame"));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("twice.properties");
    std::fs::write(&path, "application.id=app\nsasl.password=sesame\nsasl.password=sesame2\n").unwrap();
    let error = Config::builder().file(path).build().unwrap_err().to_string();
    assert!(error.contains("is `[hidden]`, but") && !error.contains("sesame"), "{error}");
}

#[test]
fn compression_is_a_choice() {
    let cases = [("none", "none"), ("gzip", "gzip"), ("snappy", "snappy"), ("LZ4", "lz4"), ("zstd", "zstd")];
    for (written, expected) in cases {
        assert_eq!(options(&format!("compression.type={written}")).compression, expected);
        assert_eq!(options(&format!("producer.compression.type={written}")).compression, expected);
    }
    refused(
        "compression.type=brotli",
        "`compression.type` cannot be `brotli`; allowed: none | gzip | snappy | lz4 | zstd",
    );
}

#[test]
fn what_does_not_fit_a_login_is_refused() {
    let choice = "set it to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
    let either = "set it; or `sasl.jaas.config`, as Java clients have it, in place of name and password";
    let modules = "PlainLoginModule is for PLAIN, ScramLoginModule for the two of SCRAM";
    let cases = [
        (
            "sasl.mechanism=PLAIN".to_owned(),
            "`sasl.mechanism` (PLAIN, code) has no effect under `security.protocol` (PLAINTEXT, default); set it to \
             SASL_SSL or SASL_PLAINTEXT, or leave this out"
                .to_owned(),
        ),
        (
            format!("security.protocol=SASL_PLAINTEXT\n{USER}"),
            format!("`security.protocol` (SASL_PLAINTEXT, code) needs `sasl.mechanism`; {choice}"),
        ),
        (
            format!("{SASL}sasl.password=sesame"),
            format!("`security.protocol` (SASL_PLAINTEXT, code) needs `sasl.username`; {either}"),
        ),
        (
            format!("{SASL}sasl.username=ann"),
            format!("`security.protocol` (SASL_PLAINTEXT, code) needs `sasl.password`; {either}"),
        ),
        (
            format!("{SASL}sasl.username=ann\nsasl.jaas.config=PlainLoginModule required username=a password=sesame;"),
            "`sasl.jaas.config` ([hidden], code) and `sasl.username` (ann, code) say the same; give one of them".to_owned(),
        ),
        (
            format!("{SASL}sasl.jaas.config=ScramLoginModule required username=a password=sesame;"),
            format!(
                "`sasl.jaas.config` ([hidden], code) names `ScramLoginModule`, which is not for `sasl.mechanism` (PLAIN, \
                 code); {modules}"
            ),
        ),
        (
            format!("{SASL}sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required;"),
            "`sasl.jaas.config` ([hidden], code) names `com.sun.security.auth.module.Krb5LoginModule`, which cannot be \
             used here; log in by a user's name and password: PlainLoginModule or ScramLoginModule, or `sasl.username` \
             and `sasl.password`"
                .to_owned(),
        ),
        (
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=GSSAPI\nsasl.username=a\nsasl.password=b".to_owned(),
            "`sasl.mechanism` cannot be `GSSAPI`; allowed: PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512".to_owned(),
        ),
    ];
    for (lines, expected) in cases {
        refused(&lines, &expected);
    }
}

#[test]
fn settings_of_encryption_are_useless_without_it() {
    for (name, value) in [("ssl.ca.location", "/ca.pem"), ("ssl.endpoint.identification.algorithm", "none")] {
        refused(
            &format!("{name}={value}"),
            &format!(
                "`{name}` ({value}, code) has no effect under `security.protocol` (PLAINTEXT, default); set it to SSL or \
                 SASL_SSL, or leave this out"
            ),
        );
    }
}

#[cfg(not(feature = "ssl"))]
#[test]
fn encryption_needs_its_feature() {
    let feature = "needs the feature `ssl`, which this program was built without; build it with `features = [\"ssl\"]` of \
                   `headwater` in `Cargo.toml`";
    let cases = [
        ("security.protocol=SSL\nssl.ca.location=/ca.pem".to_owned(), "`security.protocol` (SSL, code)"),
        (
            format!("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n{USER}"),
            "`security.protocol` (SASL_SSL, code)",
        ),
        (
            format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\n{USER}"),
            "`sasl.mechanism` (SCRAM-SHA-512, code)",
        ),
    ];
    for (lines, what) in cases {
        refused(&lines, &format!("{what} {feature}"));
    }
}

#[cfg(feature = "ssl")]
mod encrypted {
    use super::*;

    /// What of `Pem` a test looks at.
    fn shown(pem: &Pem) -> String {
        match pem {
            Pem::File(path) => format!("<{}>", path.rsplit('/').next().unwrap()),
            Pem::Text(text) => text.reveal().replace('\n', "|"),
        }
    }

    fn identity(identity: &Identity) -> String {
        let hidden = |password: &Option<Secret>| {
            password.as_ref().map_or("none".to_owned(), |password| password.reveal().to_owned())
        };
        match identity {
            Identity::Pem { certificate, key, password } => {
                format!("{} {} {}", shown(certificate), shown(key), hidden(password))
            }
            Identity::Store { file, password } => {
                format!("{} {}", shown(&Pem::File(file.clone())), hidden(password))
            }
        }
    }

    #[test]
    fn certificates_and_keys_come_by_librdkafkas_names_or_by_javas() {
        let text = "-----BEGIN CERTIFICATE----- Y2Vy dA== -----END CERTIFICATE-----";
        let key = "-----BEGIN PRIVATE KEY----- a2V5 -----END PRIVATE KEY-----";
        let (text_shown, key_shown) = (CERTIFICATE.replace('\n', "|"), KEY.replace('\n', "|"));
        let in_text = format!("none; {text_shown} {key_shown} p");
        let cases = [
            (String::new(), "none; none".to_owned()),
            ("ssl.ca.location=<ca.pem>".to_owned(), "<ca.pem>; none".to_owned()),
            (format!("ssl.ca.pem={text}"), format!("{text_shown}; none")),
            (
                "ssl.truststore.type=PEM\nssl.truststore.location=<ca.pem>".to_owned(),
                "<ca.pem>; none".to_owned(),
            ),
            ("ssl.truststore.location=<ca.pem>".to_owned(), "<ca.pem>; none".to_owned()),
            (
                format!("ssl.truststore.type=PEM\nssl.truststore.certificates={text}"),
                format!("{text_shown}; none"),
            ),
            (
                "ssl.certificate.location=<client.pem>\nssl.key.location=<client.key>".to_owned(),
                "none; <client.pem> <client.key> none".to_owned(),
            ),
            (format!("ssl.certificate.pem={text}\nssl.key.pem={key}\nssl.key.password=p"), in_text.clone()),
            (
                format!(
                    "ssl.keystore.type=PEM\nssl.keystore.certificate.chain={text}\nssl.keystore.key={key}\n\
                     ssl.key.password=p"
                ),
                in_text,
            ),
            (
                "ssl.keystore.type=pem\nssl.keystore.location=<both.pem>\nssl.key.password=p".to_owned(),
                "none; <both.pem> <both.pem> p".to_owned(),
            ),
            (
                "ssl.keystore.type=PKCS12\nssl.keystore.location=<store.p12>\nssl.keystore.password=p"
                    .to_owned(),
                "none; <store.p12> p".to_owned(),
            ),
            // As Java reads it, too.
            (
                "ssl.keystore.type=JKS\nssl.keystore.location=<store.p12>".to_owned(),
                "none; <store.p12> none".to_owned(),
            ),
        ];
        for (lines, expected) in cases {
            let tls = options(&format!("security.protocol=SSL\n{lines}")).security.tls.unwrap();
            let trust = tls.trust.as_ref().map_or("none".to_owned(), shown);
            let ours = tls.identity.as_ref().map_or("none".to_owned(), identity);
            assert_eq!(format!("{trust}; {ours}"), expected, "{lines}");
            assert!(tls.names_host);
        }
    }

    #[test]
    fn host_names_are_checked_unless_that_is_switched_off() {
        for (written, expected) in [("https", true), ("HTTPS", true), ("none", false), ("", false)] {
            let lines = format!("security.protocol=SSL\nssl.endpoint.identification.algorithm={written}");
            assert_eq!(options(&lines).security.tls.unwrap().names_host, expected, "{written:?}");
        }
    }

    #[test]
    fn encryption_and_login_go_together() {
        let lines = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\nssl.ca.location=<ca.pem>\n{USER}"
        );
        let security = options(&lines).security;
        assert_eq!(security.login.unwrap().mechanism, Mechanism::ScramSha256);
        assert!(security.tls.unwrap().trust.is_some());
    }

    #[test]
    fn files_that_are_not_what_they_should_be_are_refused() {
        let file = "name a file that exists and may be read";
        let cases = [
            (
                "ssl.ca.location=/nowhere/ca.pem",
                format!("`ssl.ca.location` (/nowhere/ca.pem, code) cannot be read: No such file or directory (os error 2); {file}"),
            ),
            (
                "ssl.ca.location=<text.txt>",
                "`ssl.ca.location` (<text.txt>, code) holds no certificate in PEM; name a file with a line \
                 `-----BEGIN CERTIFICATE-----`"
                    .to_owned(),
            ),
            (
                "ssl.ca.location=<ca.pem>\nssl.truststore.location=<ca.pem>",
                "`ssl.ca.location` (<ca.pem>, code) and `ssl.truststore.location` (<ca.pem>, code) say the same; give one \
                 of them"
                    .to_owned(),
            ),
            (
                "ssl.truststore.location=<store.jks>",
                "`ssl.truststore.location` (<store.jks>, code) is a Java keystore, which OpenSSL does not read; write its \
                 certificates to a file in PEM, `keytool -list -rfc -keystore <store.jks> > ca.pem`, and name that by \
                 `ssl.ca.location`"
                    .to_owned(),
            ),
            (
                "ssl.keystore.location=<store.jks>",
                "`ssl.keystore.location` (<store.jks>, code) is in JKS, which OpenSSL does not read; convert it, `keytool \
                 -importkeystore -srckeystore <store.jks> -destkeystore client.p12 -deststoretype PKCS12`, and name that"
                    .to_owned(),
            ),
            (
                "ssl.keystore.type=PKCS12\nssl.keystore.location=<both.pem>",
                "`ssl.keystore.type` (PKCS12, code) is not what `ssl.keystore.location` (<both.pem>, code) is: it is in \
                 PEM; leave `ssl.keystore.type` out, or name another file"
                    .to_owned(),
            ),
            (
                "ssl.keystore.location=<client.pem>",
                "`ssl.keystore.location` (<client.pem>, code) holds no key in PEM; name a file with a line `-----BEGIN \
                 PRIVATE KEY-----`"
                    .to_owned(),
            ),
            (
                "ssl.keystore.location=<both.pem>\nssl.keystore.password=p",
                "`ssl.keystore.password` ([hidden], code) has no effect: `ssl.keystore.location` (<both.pem>, code) is in \
                 PEM; `ssl.key.password` is the key's, if it has one"
                    .to_owned(),
            ),
        ];
        for (lines, expected) in cases {
            refused(&format!("security.protocol=SSL\n{lines}"), &expected);
        }
    }

    #[test]
    fn a_certificate_without_a_key_is_refused_and_a_key_without_a_certificate() {
        let cases = [
            (
                "ssl.certificate.location=<client.pem>",
                "`ssl.certificate.location` (<client.pem>, code) needs `ssl.key.location` or `ssl.key.pem`; set it, or \
                 leave both out"
                    .to_owned(),
            ),
            (
                "ssl.key.location=<client.key>",
                "`ssl.key.location` (<client.key>, code) needs `ssl.certificate.location` or `ssl.certificate.pem`; set \
                 it, or leave both out"
                    .to_owned(),
            ),
            (
                "ssl.certificate.location=<client.pem>\nssl.key.location=<client.pem>",
                "`ssl.key.location` (<client.pem>, code) holds no key in PEM; name a file with a line `-----BEGIN PRIVATE \
                 KEY-----`"
                    .to_owned(),
            ),
            (
                "ssl.key.password=p",
                "`ssl.key.password` ([hidden], code) needs `ssl.key.location` or `ssl.key.pem`; set it, or leave both out"
                    .to_owned(),
            ),
            (
                "ssl.keystore.password=p",
                "`ssl.keystore.password` ([hidden], code) needs `ssl.keystore.location`; set it, or leave both out".to_owned(),
            ),
            (
                "ssl.ca.pem=/etc/ca.pem",
                "`ssl.ca.pem` cannot be `[hidden]`; allowed: text in PEM (-----BEGIN ...), which is never shown".to_owned(),
            ),
        ];
        for (lines, expected) in cases {
            refused(&format!("security.protocol=SSL\n{lines}"), &expected);
        }
    }

    #[test]
    fn all_that_does_not_fit_is_told_at_once() {
        let error = configure(
            "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nssl.ca.location=/nowhere/ca.pem\nssl.key.password=p\n\
             commit.interval.ms=0\nsasl.username=ann",
        );
        let error = error.unwrap_err();
        assert!(error.starts_with("the configuration has 4 problems:"), "{error}");
    }
}

#[test]
fn settings_that_nobody_connects_with_are_warned_of() {
    let cluster = MemoryCluster::new();
    let warning = |lines| configure(lines).unwrap().unused_connection(&cluster);
    let instead = if cfg!(feature = "kafka") {
        "`KafkaCluster::connect` reaches another one"
    } else {
        "the client for Kafka comes with the feature `kafka`, which this program was built without"
    };
    let cases = [
        ("", None),
        ("bootstrap.servers=kafka:9092", Some("`bootstrap.servers` (kafka:9092, code) is not used")),
        (
            "bootstrap.servers=kafka:9092\ncompression.type=lz4",
            Some("`bootstrap.servers` (kafka:9092, code), `compression.type` (lz4, code) are not used"),
        ),
    ];
    for (lines, expected) in cases {
        let expected =
            expected.map(|what| format!("{what}: the program runs on the in-process cluster; {instead}"));
        assert_eq!(warning(lines), expected);
    }
}
