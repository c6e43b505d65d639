//! Members of groups: they live longer than the broker, and commit.

use headwater_broker::ErrorCode;

use crate::client::{Client, Step, wrong};
use crate::load::{Desk, Worker};
use crate::model::At;

/// A group's only member, with all that it was answered.
pub struct Member {
    desk: Desk,
    group: String,
    protocol: Protocol,
    /// Its id, and its generation or epoch, once both are answered.
    known: Option<(String, i32)>,
    /// Ids that it has made up.
    ids: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Classic,
    /// KIP-848.
    Consumer,
}

impl Member {
    pub fn new(desk: Desk, protocol: Protocol) -> Self {
        let group = format!("group of {}", desk.name);
        Self { desk, group, protocol, known: None, ids: 0 }
    }

    fn join(&mut self, client: &mut Client) -> Step<()> {
        self.known = None;
        self.known = Some(match self.protocol {
            Protocol::Classic => client.join_classic(&self.group)?,
            Protocol::Consumer => {
                self.ids += 1;
                let id = format!("{}-{}", self.desk.name, self.ids);
                let (code, epoch) = client.beat(&self.group, &id, 0)?;
                if code != 0 {
                    return wrong(format!("{id} cannot join {}: error {code}", self.group));
                }
                (id, epoch)
            }
        });
        Ok(())
    }

    /// Who was answered that it is in the group is in it, whatever has happened to the broker.
    fn beat(&mut self, client: &mut Client) -> Step<()> {
        let Some((id, number)) = &self.known else { return self.join(client) };
        let (code, epoch) = match self.protocol {
            Protocol::Classic => (client.heartbeat(&self.group, id, *number)?, *number),
            Protocol::Consumer => client.beat(&self.group, id, *number)?,
        };
        if code != 0 || epoch < *number {
            return wrong(format!("{id} of {} in {number}: error {code}, now in {epoch}", self.group));
        }
        self.known = Some((id.clone(), epoch));
        Ok(())
    }

    fn commit(&mut self, client: &mut Client) -> Step<()> {
        let Some((id, number)) = &self.known else { return self.join(client) };
        let at: At = ("mixed".to_owned(), 0);
        let next = {
            let mut model = self.desk.model.lock();
            let known = model.groups.entry(self.group.clone()).or_insert((-1, -1));
            known.1 += 1;
            known.1
        };
        let code = client.commit_as(&self.group, (id, *number), &at, next)?;
        if code != 0 {
            return wrong(format!("a commit of {id} in {number} of {}: error {code}", self.group));
        }
        self.desk.model.lock().groups.insert(self.group.clone(), (next, next));
        // A member that nobody is fences nobody.
        let stranger = client.commit_as(&self.group, ("nobody", *number), &at, 1 << 40)?;
        if stranger != ErrorCode::UnknownMemberId.code() {
            return wrong(format!("a stranger commits for {}: error {stranger}", self.group));
        }
        Ok(())
    }

    fn leave(&mut self, client: &mut Client) -> Step<()> {
        let Some((id, _)) = self.known.take() else { return Ok(()) };
        match self.protocol {
            Protocol::Classic => client.leave(&self.group, &id),
            Protocol::Consumer => client.beat(&self.group, &id, -1).map(|_| ()),
        }
    }
}

impl Worker for Member {
    fn resume(&mut self, client: &mut Client) -> Step<()> {
        self.beat(client)
    }

    fn step(&mut self, client: &mut Client) -> Step<()> {
        match self.desk.random.below(12) {
            0 => self.leave(client),
            1..5 => self.beat(client),
            _ => self.commit(client),
        }
    }
}
