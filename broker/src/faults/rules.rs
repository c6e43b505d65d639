//! Rules: faults for particular requests of particular clients, a number of times.

use super::Verdict;
use crate::api::{ApiKey, ClientId, Request};

/// A fault, whom it befalls and how often. Without limits it befalls every request, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    api: Option<ApiKey>,
    client: Option<ClientId>,
    skip: u64,
    times: u64,
    verdict: Verdict,
}

impl Rule {
    /// Befalls every request.
    #[must_use]
    pub fn always(verdict: Verdict) -> Self {
        Self { api: None, client: None, skip: 0, times: u64::MAX, verdict }
    }

    /// Befalls requests of one kind.
    #[must_use]
    pub fn on(api: ApiKey, verdict: Verdict) -> Self {
        Self { api: Some(api), ..Self::always(verdict) }
    }

    /// Only of this client.
    #[must_use]
    pub fn by(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// Not the first `skip` requests.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    fn concerns(&self, client: &ClientId, api: ApiKey) -> bool {
        self.api.is_none_or(|wanted| wanted == api)
            && self.client.as_ref().is_none_or(|wanted| wanted.as_str() == client.as_str())
    }
}

/// Rules in order.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Adds a rule behind the others.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The verdict of the first rule that applies; a rule that is skipped or used up does not.
    pub(super) fn verdict(&mut self, client: &ClientId, request: &Request) -> Option<Verdict> {
        let api = request.api_key();
        for rule in self.rules.iter_mut().filter(|rule| rule.concerns(client, api)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.verdict);
            }
        }
        None
    }
}
