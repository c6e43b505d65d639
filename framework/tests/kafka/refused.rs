//! Who is turned away: an application stops within seconds, with an error that says what to do.

use headwater::Running;

use crate::broker::{Broker, on_a_broker};
use crate::certificates::{Listener, expired, stranger};
use crate::heard;
use crate::pipeline::Pipeline;

/// What an application with these settings says as it stops, which has to be soon.
pub(crate) fn failure(pipeline: &Pipeline<'_>, lines: &str, limit_ms: i64) -> String {
    let begin = pipeline.scene.now_ms();
    let running = pipeline.application(lines).unwrap().start().unwrap();
    end(pipeline, running, limit_ms - (pipeline.scene.now_ms() - begin))
}

/// What it says as it stops by itself.
pub(crate) fn end(pipeline: &Pipeline<'_>, running: Running, limit_ms: i64) -> String {
    let begin = pipeline.scene.now_ms();
    while !running.is_finished() {
        let waited = pipeline.scene.now_ms() - begin;
        assert!(waited < limit_ms, "it runs on after {waited} ms: {}", heard::lines("").join("\n"));
        heard::pause(20);
    }
    running.wait().unwrap_err().to_string()
}

/// Settings, and words of the error that they end with.
type Case = (String, Vec<String>);

fn login(mechanism: &str, user: &str, password: &str) -> String {
    format!(
        "bootstrap.servers=<SASL_SSL>\nsecurity.protocol=SASL_SSL\nssl.ca.location=<ca.pem>\nsasl.mechanism={mechanism}\n\
         sasl.username={user}\nsasl.password={password}"
    )
}

fn logins() -> Vec<Case> {
    let said = |why: &str| {
        let look = "(SASL_AUTHENTICATION_FAILED); look at `sasl.username`, `sasl.password` and `sasl.mechanism`: has the \
                    user a password for that mechanism, and does the listener behind `bootstrap.servers` take it?";
        ["the cluster refuses our login: ", why, look].map(str::to_owned).to_vec()
    };
    vec![
        (login("PLAIN", "headwater", "wrong"), said("Invalid username or password")),
        (login("PLAIN", "nobody", "headwater-secret"), said("Invalid username or password")),
        (login("SCRAM-SHA-256", "headwater", "wrong"), said("")),
        (login("SCRAM-SHA-512", "nobody", "headwater-secret"), said("")),
        // A listener that knows no logins.
        (
            login("PLAIN", "headwater", "headwater-secret").replace("<SASL_SSL>", "<SSL>"),
            said("SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state"),
        ),
    ]
}

fn certificates(broker: &Broker) -> Vec<Case> {
    let stranger = stranger(broker).certificate;
    let (ssl, sasl) = (broker.port("SSL"), broker.port("SASL_SSL"));
    let tls = |lines: &str| format!("security.protocol=SSL\n{lines}");
    let said =
        |what: &str| vec!["no encrypted connection to the cluster can be made: ".to_owned(), what.to_owned()];
    let signed =
        "is signed by nobody who is trusted: `ssl.ca.location` names the certificates of those who are";
    let hosts = "is for other hosts: connect by a name that it holds, or set `ssl.endpoint.identification.algorithm` to \
                 `none`";
    vec![
        (
            tls(&format!("bootstrap.servers=<SSL>\nssl.ca.location={stranger}")),
            said(&format!("the certificate of 127.0.0.1:{ssl} {signed}")),
        ),
        // The machine's own authorities do not know ours.
        (tls("bootstrap.servers=<SSL>"), said(signed)),
        (
            tls(&format!("bootstrap.servers=127.1:{ssl}\nssl.ca.location=<ca.pem>")),
            said(&format!("the certificate of 127.1:{ssl} {hosts}")),
        ),
        (
            login("PLAIN", "headwater", "headwater-secret").replace("<SASL_SSL>", &format!("127.1:{sasl}")),
            said(hosts),
        ),
    ]
}

/// Whose time is over: theirs, and ours.
fn expired_certificates(broker: &Broker, theirs: &Listener) -> Vec<Case> {
    let ours = expired(broker);
    let tls = "security.protocol=SSL\nssl.ca.location=<ca.pem>";
    let said = |words: &[&str]| words.iter().map(|words| (*words).to_owned()).collect::<Vec<_>>();
    vec![
        (
            format!("bootstrap.servers={}\n{tls}", theirs.address),
            said(&[
                "no encrypted connection to the cluster can be made: ",
                &format!("the certificate of {} has expired", theirs.address),
            ]),
        ),
        (
            format!(
                "bootstrap.servers=<SSL>\n{tls}\nssl.certificate.location={}\nssl.key.location={}",
                ours.certificate, ours.key
            ),
            said(&[
                "no encrypted connection to the cluster can be made: ",
                "refuses our certificate",
                "`ssl.certificate.location`",
            ]),
        ),
    ]
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn wrong_credentials_and_certificates_end_an_application_within_seconds() {
    on_a_broker(|broker| {
        let pipeline = Pipeline::new(broker);
        let theirs = Listener::with(&expired(broker));
        let cases = [logins(), certificates(broker), expired_certificates(broker, &theirs)];
        for (lines, expected) in cases.into_iter().flatten() {
            heard::begin();
            let said = failure(&pipeline, &lines, 10_000);
            println!("{lines}\n-> {said}\n");
            for words in expected {
                assert!(said.contains(&words), "{lines}\n{said}\nlacks {words}");
            }
            assert!(!said.contains("headwater-secret") && heard::lines("headwater-secret").is_empty());
        }
    });
}
