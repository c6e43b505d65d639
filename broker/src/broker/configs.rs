//! Describe and alter topics' settings.

use super::Broker;
use super::admin::{Refusal, topic_result, unknown_topic};
use crate::api::{
    AlterConfigsRequest, AlterConfigsResponse, AlteredTopic, DescribeConfigsRequest, DescribeConfigsResponse,
    TopicConfigs, TopicId,
};
use crate::error::ErrorCode;
use crate::journal::Fact;
use crate::topic::TopicFact;

impl Broker {
    pub(super) fn describe_configs(&self, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let describe = |name: std::sync::Arc<str>| {
            let entries = self.catalogue.topic(&name).map(|topic| topic.settings.entries());
            let error = ErrorCode::of(&entries);
            TopicConfigs { name, error, entries: entries.unwrap_or_default() }
        };
        DescribeConfigsResponse { topics: request.topics.into_iter().map(describe).collect() }
    }

    pub(super) fn alter_configs(&mut self, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for altered in request.topics {
            let outcome = self.alter_topic(&altered, request.validate_only);
            topics.push(topic_result(altered.name, outcome));
        }
        AlterConfigsResponse { topics }
    }

    fn alter_topic(&mut self, altered: &AlteredTopic, validate_only: bool) -> Result<TopicId, Refusal> {
        let AlteredTopic { name, changes } = altered;
        let topic = self.catalogue.topics.get_mut(name).ok_or_else(|| unknown_topic(name))?;
        let changes = changes.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let settings = topic.settings.changed(changes)?;
        let id = topic.id;
        if !validate_only {
            let fact = TopicFact { configs: settings.configs(), ..topic.fact(name) };
            self.note(&Fact::Topic(fact))
                .map_err(|error| (error, format!("settings of {name} cannot be stored")))?;
            if let Some(topic) = self.catalogue.topics.get_mut(name) {
                topic.settings = settings;
            }
        }
        Ok(id)
    }
}
