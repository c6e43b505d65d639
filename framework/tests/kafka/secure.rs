//! Connections that are encrypted and log in: records there and back, a transaction, its offsets.

use headwater::TopicPartition;
use headwater::kafka::Isolation;

use crate::broker::{Broker, on_a_broker};
use crate::clusters::{Scene, values};

/// Records there and back, by a transaction that is aborted and one that is committed.
pub(crate) fn there_and_back(broker: &Broker, lines: &str) {
    let scene = Scene::on(broker.cluster(lines));
    let partition = TopicPartition::new(scene.topic("a", 1), 0);
    let mut producer = scene.producer(Some("t"));
    producer.begin().unwrap();
    scene.send(producer.as_mut(), &partition, &["lost"]);
    scene.answer("an abort", |now_ms| producer.abort(now_ms)).unwrap();
    producer.begin().unwrap();
    scene.send(producer.as_mut(), &partition, &["a", "b", "c"]);
    scene.answer("a commit", |now_ms| producer.commit(now_ms)).unwrap();
    let read = scene.until("the records", |_| {
        let (read, _) = scene.read(&partition, 0, Isolation::ReadCommitted);
        (!read.is_empty()).then_some(read)
    });
    assert_eq!(values(&read), ["a", "b", "c"], "{lines}");
}

const USER: &str = "sasl.username=headwater\nsasl.password=headwater-secret";

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn encrypted() {
    on_a_broker(|broker| {
        there_and_back(broker, "bootstrap.servers=<SSL>\nsecurity.protocol=SSL\nssl.ca.location=<ca.pem>");
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn encrypted_with_a_certificate_of_ones_own() {
    on_a_broker(|broker| {
        let tls = "bootstrap.servers=<SSL>\nsecurity.protocol=SSL\nssl.ca.location=<ca.pem>";
        let files = "ssl.certificate.location=<client.pem>\nssl.key.location=<client.key>";
        there_and_back(broker, &format!("{tls}\n{files}"));
        // As text, in one line.
        let text = |file: &str| std::fs::read_to_string(broker.client(file)).unwrap().replace('\n', " ");
        let (certificate, key) = (text("client.pem"), text("client.key"));
        there_and_back(broker, &format!("{tls}\nssl.certificate.pem={certificate}\nssl.key.pem={key}"));
        let keystore = format!("ssl.keystore.certificate.chain={certificate}\nssl.keystore.key={key}");
        there_and_back(broker, &format!("{tls}\nssl.keystore.type=PEM\n{keystore}"));
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn encrypted_without_checking_the_host() {
    on_a_broker(|broker| {
        let port = broker.port("SSL");
        // Another name of this machine, which the certificate does not hold.
        let tls = format!("bootstrap.servers=127.1:{port}\nsecurity.protocol=SSL\nssl.ca.location=<ca.pem>");
        there_and_back(broker, &format!("{tls}\nssl.endpoint.identification.algorithm="));
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn with_every_mechanism_by_librdkafkas_names_and_by_javas() {
    on_a_broker(|broker| {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let tls = "bootstrap.servers=<SASL_SSL>\nsecurity.protocol=SASL_SSL\nssl.ca.location=<ca.pem>";
            there_and_back(broker, &format!("{tls}\nsasl.mechanisms={mechanism}\n{USER}"));
            // The file that Kafka's own tools are given.
            let file = format!("{}.properties", mechanism.to_lowercase());
            there_and_back(broker, &format!("bootstrap.servers=<SASL_SSL>\nfile={file}"));
        }
    });
}
