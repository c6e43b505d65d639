//! A server whose broker lies in a folder: what its next start there still knows.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod raw;
mod rig;

use headwater_broker::Broker;
use headwater_broker::server::Server;
use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest};
use raw::Client;
use rig::Folder;

fn start(folder: &Folder) -> Server {
    Broker::builder().dir(folder.0.to_str().unwrap()).start().unwrap()
}

/// The cluster's id, as clients hear it.
fn cluster_id(server: &Server) -> String {
    let mut client = Client::at(server.address());
    let described = client.ask(0, &DescribeClusterRequest::default());
    let metadata = client.ask(8, &MetadataRequest::default());
    assert_eq!(metadata.cluster_id.as_deref(), Some(described.cluster_id.as_str()));
    described.cluster_id.to_string()
}

#[test]
fn a_folder_is_a_cluster_of_its_own() {
    let (folder, other) = (Folder::new(), Folder::new());
    let id = cluster_id(&start(&folder));
    assert_eq!(id.len(), 22, "16 bytes in base64, as Kafka writes them");
    assert_eq!(cluster_id(&start(&folder)), id, "after a restart");
    assert_ne!(cluster_id(&start(&other)), id);
    assert_ne!(cluster_id(&Broker::builder().start().unwrap()), id);
}

#[test]
fn a_folder_without_an_id_gets_one_and_one_with_a_riddle_is_refused() {
    let folder = Folder::new();
    let properties = folder.0.join("meta.properties");
    let id = cluster_id(&start(&folder));
    // As brokers left it that knew of no id.
    std::fs::remove_file(&properties).unwrap();
    let new = cluster_id(&start(&folder));
    assert_ne!(new, id);
    assert_eq!(cluster_id(&start(&folder)), new);
    std::fs::write(&properties, "#\nnode.id=1\ncluster.id=mine\nversion=1\n").unwrap();
    assert_eq!(cluster_id(&start(&folder)), "mine");
    std::fs::write(&properties, "version=1\n").unwrap();
    let error = Broker::builder().dir(folder.0.to_str().unwrap()).start().unwrap_err().to_string();
    assert!(error.contains("meta.properties has no `cluster.id`"), "{error}");
}
