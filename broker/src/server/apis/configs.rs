//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: settings of topics; those of the broker can be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Altered;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::api::{self, AlteredTopic, ConfigEntry, ConfigKind};
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup};
use crate::server::host::NODE_ID;
use crate::wire;

/// Kinds of resources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// From this version on kinds of values are told.
const WITH_KIND: i16 = 3;

pub(super) fn source_of(entry: &ConfigEntry) -> i8 {
    match (entry.is_default, entry.is_brokers) {
        (false, _) => SOURCE_TOPIC,
        (true, true) => SOURCE_STATIC_BROKER,
        (true, false) => SOURCE_DEFAULT,
    }
}

fn kind_number(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::Text => 2,
        ConfigKind::Integer => 3,
        ConfigKind::Long => 5,
        ConfigKind::Double => 6,
        ConfigKind::List => 7,
    }
}

pub(super) async fn describe_configs(
    exchange: &Exchange<'_>,
    request: DescribeConfigsRequest,
) -> Result<Option<DescribeConfigsResponse>, Hangup> {
    let mut results = Vec::with_capacity(request.resources.len());
    let mut seen = BTreeSet::new();
    for resource in &request.resources {
        if !seen.insert((resource.resource_type, resource.resource_name.as_str())) {
            continue;
        }
        let mut result = match resource.resource_type {
            TOPIC => describe_topic(exchange, resource, request.include_synonyms).await?,
            BROKER => describe_broker(exchange, resource),
            kind => {
                let message = format!("resources of type {kind} have no settings here");
                refused(ErrorCode::InvalidRequest, &message)
            }
        };
        if let Some(keys) = &resource.configuration_keys {
            result.configs.retain(|config| keys.contains(&config.name));
        }
        result.resource_type = resource.resource_type;
        result.resource_name = resource.resource_name.clone();
        results.push(result);
    }
    Ok(Some(DescribeConfigsResponse::default().with_results(results)))
}

fn refused(error: ErrorCode, message: &str) -> DescribeConfigsResult {
    DescribeConfigsResult::default()
        .with_error_code(error.code())
        .with_error_message(Some(wire::text(message)))
}

async fn describe_topic(
    exchange: &Exchange<'_>,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<DescribeConfigsResult, Hangup> {
    let name: Arc<str> = wire::name(&resource.resource_name);
    let asked = api::DescribeConfigsRequest { topics: vec![name.clone()] };
    let response: api::DescribeConfigsResponse = exchange.ask(asked).await?;
    let Some(described) = response.topics.into_iter().next() else {
        return Err(Hangup::Failed(ErrorCode::UnknownServerError));
    };
    if described.error != ErrorCode::None {
        return Ok(refused(described.error, &format!("topic {name} does not exist")));
    }
    let config = |entry: ConfigEntry| {
        let mut config = DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(entry.name))
            .with_value(Some(wire::text(&entry.value)))
            .with_config_source(source_of(&entry));
        if synonyms {
            let synonym = DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_static_str(entry.name))
                .with_value(Some(wire::text(&entry.value)))
                .with_source(source_of(&entry));
            config.synonyms = vec![synonym];
        }
        if exchange.version >= WITH_KIND {
            config.config_type = kind_number(entry.kind);
        }
        config
    };
    Ok(DescribeConfigsResult::default().with_configs(described.entries.into_iter().map(config).collect()))
}

fn describe_broker(exchange: &Exchange<'_>, resource: &DescribeConfigsResource) -> DescribeConfigsResult {
    if resource.resource_name.as_str() != NODE_ID.to_string() {
        let message = format!("there is one broker, and its number is {NODE_ID}");
        return refused(ErrorCode::InvalidRequest, &message);
    }
    let config = |(name, value): &(&'static str, String)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(wire::text(value)))
            .with_read_only(true)
            .with_config_source(SOURCE_STATIC_BROKER)
    };
    DescribeConfigsResult::default().with_configs(exchange.host.settings.iter().map(config).collect())
}

/// Why a resource's settings are not changed.
type Refusal = (ErrorCode, String);

fn outcome(result: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (ErrorCode::None.code(), None),
        Err((error, message)) => (error.code(), Some(StrBytes::from_string(message))),
    }
}

/// Changes a topic's settings; the inner error is the client's.
async fn change(
    exchange: &Exchange<'_>,
    kind: i8,
    altered: AlteredTopic,
    validate_only: bool,
) -> Result<Result<(), Refusal>, Hangup> {
    if kind != TOPIC {
        let message = "only the settings of topics can be changed; the broker's stand in its file".to_owned();
        return Ok(Err((ErrorCode::InvalidRequest, message)));
    }
    let asked = api::AlterConfigsRequest { topics: vec![altered], validate_only };
    let response: api::AlterConfigsResponse = exchange.ask(asked).await?;
    let result = response.topics.into_iter().next().ok_or(Hangup::Failed(ErrorCode::UnknownServerError))?;
    Ok(if result.error == ErrorCode::None { Ok(()) } else { Err((result.error, result.message)) })
}

/// What a topic's settings are now, and which of them were set.
async fn entries(exchange: &Exchange<'_>, name: &Arc<str>) -> Result<Vec<ConfigEntry>, Hangup> {
    let asked = api::DescribeConfigsRequest { topics: vec![name.clone()] };
    let response: api::DescribeConfigsResponse = exchange.ask(asked).await?;
    Ok(response.topics.into_iter().flat_map(|topic| topic.entries).collect())
}

/// Replaces all settings: those that are not named go back to their defaults.
pub(super) async fn alter_configs(
    exchange: &Exchange<'_>,
    request: AlterConfigsRequest,
) -> Result<Option<AlterConfigsResponse>, Hangup> {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let name = wire::name(&resource.resource_name);
        let mut changes: BTreeMap<String, Option<String>> = BTreeMap::new();
        if resource.resource_type == TOPIC {
            let set = entries(exchange, &name).await?.into_iter().filter(|entry| !entry.is_default);
            changes.extend(set.map(|entry| (entry.name.to_owned(), None)));
        }
        for config in &resource.configs {
            changes.insert(config.name.to_string(), config.value.as_ref().map(ToString::to_string));
        }
        let altered = AlteredTopic { name, changes };
        let changed = change(exchange, resource.resource_type, altered, request.validate_only).await?;
        let (code, message) = outcome(changed);
        let response = Replaced::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        responses.push(response);
    }
    Ok(Some(AlterConfigsResponse::default().with_responses(responses)))
}

pub(super) async fn incremental_alter_configs(
    exchange: &Exchange<'_>,
    request: IncrementalAlterConfigsRequest,
) -> Result<Option<IncrementalAlterConfigsResponse>, Hangup> {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let name = wire::name(&resource.resource_name);
        let now = match resource.resource_type {
            TOPIC => entries(exchange, &name).await?,
            _ => Vec::new(),
        };
        let changed = match changes(&resource.configs, &now) {
            Ok(changes) => {
                let altered = AlteredTopic { name, changes };
                change(exchange, resource.resource_type, altered, request.validate_only).await?
            }
            Err(refusal) => Err(refusal),
        };
        let (code, message) = outcome(changed);
        let response = Altered::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        responses.push(response);
    }
    Ok(Some(IncrementalAlterConfigsResponse::default().with_responses(responses)))
}

/// What is set and what goes back to its default. Lists can be added to and taken from.
fn changes(
    configs: &[AlterableConfig],
    now: &[ConfigEntry],
) -> Result<BTreeMap<String, Option<String>>, Refusal> {
    let mut changes = BTreeMap::new();
    for config in configs {
        let name = config.name.as_str();
        let value = || {
            let missing = || (ErrorCode::InvalidConfig, format!("topic config {name} has no value"));
            config.value.as_ref().map(ToString::to_string).ok_or_else(missing)
        };
        let listed = || {
            let entry = now.iter().find(|entry| entry.name == name && entry.kind == ConfigKind::List);
            let entry = entry.ok_or_else(|| {
                (ErrorCode::InvalidConfig, format!("topic config {name} is no list that can be added to"))
            })?;
            Ok::<_, Refusal>(entry.value.split(',').map(str::trim).filter(|item| !item.is_empty()))
        };
        let changed = match config.config_operation {
            0 => Some(value()?),
            1 => None,
            2 => {
                let added = value()?;
                let mut known = BTreeSet::new();
                let mut items: Vec<&str> = listed()?.chain(added.split(',').map(str::trim)).collect();
                items.retain(|item| known.insert(*item));
                Some(items.join(","))
            }
            3 => {
                let taken = value()?;
                let taken: Vec<&str> = taken.split(',').map(str::trim).collect();
                Some(listed()?.filter(|item| !taken.contains(item)).collect::<Vec<_>>().join(","))
            }
            other => {
                return Err((ErrorCode::InvalidRequest, format!("operation {other} on topic config {name}")));
            }
        };
        if changes.insert(name.to_owned(), changed).is_some() {
            return Err((ErrorCode::InvalidRequest, format!("topic config {name} is named twice")));
        }
    }
    Ok(changes)
}
