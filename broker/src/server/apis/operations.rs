//! What operators look at: producers of a partition, transactions.

use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{
    TopicData, TransactionState as DescribedTransaction,
};
use kafka_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::TransactionView;
use crate::error::ErrorCode;
use crate::log::ProducerView;
use crate::server::exchange::{Exchange, Hangup, by_topic, each_once, partitions, topic};
use crate::transaction::TransactionState;
use crate::wire;

pub(super) async fn describe_producers(
    exchange: &Exchange<'_>,
    request: DescribeProducersRequest,
) -> Result<Option<DescribeProducersResponse>, Hangup> {
    let broker = exchange.broker();
    let partition = |name: &str, number: i32| {
        let response = PartitionResponse::default().with_partition_index(number);
        match broker.producers(name, number) {
            Some(producers) => response.with_active_producers(producers.into_iter().map(active).collect()),
            None => response.with_error_code(ErrorCode::UnknownTopicOrPartition.code()),
        }
    };
    let wanted = request.topics.into_iter();
    let wanted = wanted.flat_map(|wanted| partitions(&wanted.name, wanted.partition_indexes));
    let answers = each_once(wanted).into_iter().map(|at| (partition(&at.topic, at.partition), at));
    let topics = by_topic(answers, |(_, at)| &at.topic).into_iter().map(|(name, answers)| {
        let partitions = answers.into_iter().map(|(response, _)| response).collect();
        TopicResponse::default().with_partitions(partitions).with_name(topic(&name))
    });
    Ok(Some(DescribeProducersResponse::default().with_topics(topics.collect())))
}

fn active(producer: ProducerView) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.producer.id))
        .with_producer_epoch(i32::from(producer.producer.epoch))
        .with_last_sequence(producer.last_sequence.unwrap_or(-1))
        .with_last_timestamp(producer.last_timestamp.unwrap_or(-1))
        .with_coordinator_epoch(0)
        .with_current_txn_start_offset(producer.transaction_start.unwrap_or(-1))
}

pub(super) async fn describe_transactions(
    exchange: &Exchange<'_>,
    request: DescribeTransactionsRequest,
) -> Result<Option<DescribeTransactionsResponse>, Hangup> {
    let broker = exchange.broker();
    let state = |id: TransactionalId| {
        let found = broker.transaction(&id.0);
        let response = DescribedTransaction::default().with_transactional_id(id);
        match found {
            Some(view) => described(response, view),
            None => response.with_error_code(ErrorCode::TransactionalIdNotFound.code()),
        }
    };
    let states = each_once(request.transactional_ids).into_iter().map(state).collect();
    Ok(Some(DescribeTransactionsResponse::default().with_transaction_states(states)))
}

fn described(response: DescribedTransaction, view: TransactionView) -> DescribedTransaction {
    let topics = by_topic(view.partitions, |at| &at.topic).into_iter().map(|(name, partitions)| {
        let numbers = partitions.iter().map(|at| at.partition).collect();
        TopicData::default().with_topic(topic(&name)).with_partitions(numbers)
    });
    response
        .with_transaction_state(StrBytes::from_static_str(view.state.name()))
        .with_transaction_timeout_ms(i32::try_from(view.timeout_ms).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(view.started_at.unwrap_or(-1))
        .with_producer_id(ProducerId(view.producer.id))
        .with_producer_epoch(view.producer.epoch)
        .with_topics(topics.collect())
}

pub(super) async fn list_transactions(
    exchange: &Exchange<'_>,
    request: ListTransactionsRequest,
) -> Result<Option<ListTransactionsResponse>, Hangup> {
    let now = exchange.now_ms();
    let broker = exchange.broker();
    let known = |name: &&StrBytes| TransactionState::ALL.iter().any(|state| state.name() == name.as_str());
    let unknown = request.state_filters.iter().filter(|name| !known(name)).cloned().collect();
    let (states, producers) = (&request.state_filters, &request.producer_id_filters);
    let wanted = |view: &TransactionView| {
        let lasted = view.started_at.map_or(0, |started| now - started);
        (states.is_empty() || states.iter().any(|state| state.as_str() == view.state.name()))
            && (producers.is_empty() || producers.contains(&ProducerId(view.producer.id)))
            && (exchange.version < 1 || request.duration_filter < 0 || lasted > request.duration_filter)
    };
    let listed = broker.transactional_ids().into_iter().filter_map(|id| {
        let view = broker.transaction(&id).filter(wanted)?;
        let state = ListedTransaction::default()
            .with_transactional_id(TransactionalId(wire::text(&id)))
            .with_producer_id(ProducerId(view.producer.id))
            .with_transaction_state(StrBytes::from_static_str(view.state.name()));
        Some(state)
    });
    let response = ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown)
        .with_transaction_states(listed.collect());
    Ok(Some(response))
}
