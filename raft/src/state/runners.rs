//! Runners that speak only HTTP: the tokens with which they register, and how they come in.

use super::users::check_name;
use super::{Effect, Refusal, State, Touched};
use crate::{
    NodeId, Reach, RegistrationToken, RegistrationTokenId, Roles, RunnerFacts, SecretHash,
    TimestampMs, WebhookEvent,
};

/// Never a voter, whatever it says.
const ROLES: Roles = Roles {
    voter: false,
    runner: true,
};

/// A runner that shows a registration token.
pub(super) struct NewRunner<'a> {
    pub(super) token: SecretHash,
    pub(super) credential: SecretHash,
    pub(super) name: &'a str,
    pub(super) facts: &'a RunnerFacts,
    pub(super) version: &'a str,
}

impl State {
    pub(super) fn registration_token_created(
        &mut self,
        token: RegistrationToken,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if let Some(known) = self.registration_tokens.get(&token.id) {
            return match known.hash == token.hash {
                true => Ok(Effect::Done),
                false => Err(Refusal::Conflict(format!(
                    "registration token {} is there already",
                    token.id
                ))),
            };
        }
        self.check_secret_not_ended("this registration token", token.hash)?;
        check_name("a registration token", &token.name)?;
        if self.registration_token_by_hash(token.hash).is_some() {
            return Err(Refusal::Conflict(
                "another registration token has this secret; make one with a new secret".into(),
            ));
        }
        self.put_registration_token(token, touched);
        Ok(Effect::Done)
    }

    pub(super) fn registration_token_revoked(
        &mut self,
        token: RegistrationTokenId,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.remove_registration_token(token, at, touched);
        Ok(Effect::Done)
    }

    pub(super) fn runner_registered(
        &mut self,
        new: &NewRunner<'_>,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if let Some(known) = self.index.nodes.credentials.get(&new.credential) {
            self.member(*known)?;
            return Ok(Effect::Admitted(*known));
        }
        let mut token = self.usable_registration_token(new.token, at)?.clone();
        check_name("a runner", new.name)?;
        let reach = Reach::Http {
            credential: new.credential,
            registered_with: token.id,
        };
        token.used += 1;
        self.put_registration_token(token, touched);
        let mut node = self.next_node(new.name, reach, ROLES, at);
        node.runner = new.facts.clone();
        node.version = new.version.to_owned();
        let id = node.id;
        self.put_node(node, touched);
        touched.node_event(WebhookEvent::NodeJoined, id);
        Ok(Effect::Admitted(id))
    }

    fn usable_registration_token(
        &self,
        hash: SecretHash,
        at: TimestampMs,
    ) -> Result<&RegistrationToken, Refusal> {
        let refuse = |why: &str| {
            Refusal::NotAllowed(format!(
                "the registration token {why}; ask one of the farm's admins for a new one"
            ))
        };
        let token = self
            .registration_token_by_hash(hash)
            .ok_or_else(|| refuse("is not known, or was revoked"))?;
        if token.expires_at.is_some_and(|end| at >= end) {
            return Err(refuse("has expired"));
        }
        if !token.reusable && token.used > 0 {
            return Err(refuse("was used already"));
        }
        Ok(token)
    }

    pub(super) fn runner_announced(
        &mut self,
        node: NodeId,
        facts: &RunnerFacts,
        version: &str,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let known = self.member(node)?;
        if known.is_in_mesh() {
            return Err(Refusal::Invalid(format!(
                "node {node} is in the mesh and does not announce itself as a runner over HTTP"
            )));
        }
        if known.runner != *facts || known.version != version {
            let mut announced = known.clone();
            announced.runner = facts.clone();
            announced.version = version.to_owned();
            self.put_node(announced, touched);
        }
        Ok(Effect::Done)
    }
}
