//! FindCoordinator, DescribeCluster: there is one node, and it is everything.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, node};
use crate::wire;

/// From this version on many coordinators are asked for at once.
const MANY: i16 = 4;
/// Kinds of keys: a group, a transactional id.
const KINDS: [i8; 2] = [0, 1];
/// Kind of endpoint: brokers, not controllers.
const BROKERS: i8 = 1;

pub(super) async fn find_coordinator(
    exchange: &Exchange<'_>,
    request: FindCoordinatorRequest,
) -> Result<Option<FindCoordinatorResponse>, Hangup> {
    let (host, port) = exchange.address();
    let error = match KINDS.contains(&request.key_type) {
        true => ErrorCode::None,
        false => ErrorCode::InvalidRequest,
    };
    let mut response = FindCoordinatorResponse::default();
    if exchange.version < MANY {
        response.error_code = error.code();
        response.node_id = node();
        response.host = wire::text(&host);
        response.port = port;
        return Ok(Some(response));
    }
    let coordinator = |key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(node())
            .with_host(wire::text(&host))
            .with_port(port)
            .with_error_code(error.code())
    };
    response.coordinators = request.coordinator_keys.into_iter().map(coordinator).collect();
    Ok(Some(response))
}

pub(super) async fn describe_cluster(
    exchange: &Exchange<'_>,
    request: DescribeClusterRequest,
) -> Result<Option<DescribeClusterResponse>, Hangup> {
    let (host, port) = exchange.address();
    let mut response = DescribeClusterResponse::default();
    if exchange.version >= 1 && request.endpoint_type != BROKERS {
        response.error_code = ErrorCode::UnsupportedEndpointType.code();
        response.error_message = Some(wire::text("controllers have no address of their own here"));
        response.endpoint_type = request.endpoint_type;
        return Ok(Some(response));
    }
    let broker =
        DescribeClusterBroker::default().with_broker_id(node()).with_host(wire::text(&host)).with_port(port);
    response.cluster_id = wire::text(&exchange.host.cluster_id);
    response.controller_id = node();
    response.brokers = vec![broker];
    Ok(Some(response))
}
