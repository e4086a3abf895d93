//! The one place that sends each command to the part of the state that knows about it.

use super::deliveries::AttemptFailure;
use super::runners::NewRunner;
use super::users::Registrant;
use super::{Effect, Refusal, State, Touched};
use crate::{
    Action, ApiToken, Change, Command, DeviceAnswer, DeviceSignIn, Farm, Invitation,
    MAX_AGENT_CHARS, PendingSignIn, RegistrationToken, Session, Ticket, User,
};

impl State {
    /// Applies one command: the only way in which the state changes.
    ///
    /// Deterministic: no clock, no randomness, no I/O. What changed is pushed to `changes`;
    /// a refused command pushes nothing and changes nothing.
    pub fn apply(
        &mut self,
        command: &Command,
        changes: &mut Vec<Change>,
    ) -> Result<Effect, Refusal> {
        let mut touched = Touched::default();
        let effect = self.apply_noting(command, &mut touched)?;
        changes.append(&mut touched.changes);
        Ok(effect)
    }

    /// [`State::apply`], noting also which rows of the projection are out of date now.
    pub(crate) fn apply_noting(
        &mut self,
        command: &Command,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let effect = self.dispatch(command, touched)?;
        for note in std::mem::take(&mut touched.job_notes) {
            self.index.jobs.note(note);
        }
        for happening in std::mem::take(&mut touched.happened) {
            self.tell_webhooks(happening, command.at, touched);
        }
        self.write_audit(command, &effect, touched);
        Ok(effect)
    }

    fn dispatch(&mut self, command: &Command, touched: &mut Touched) -> Result<Effect, Refusal> {
        let at = command.at;
        match &command.action {
            Action::FarmCreated {
                farm,
                name,
                public_key,
                secret_key,
                first_node,
            } => {
                let farm = Farm {
                    id: *farm,
                    name: name.clone(),
                    public_key: *public_key,
                    secret_key: *secret_key,
                    created_at: at,
                };
                self.farm_created(farm, first_node, at, touched)
            }
            Action::FarmRenamed { name } => self.farm_renamed(name, touched),
            Action::SettingsChanged { settings } => self.settings_changed(settings, touched),

            Action::NodeAdmitted { ticket, node } => self.node_admitted(ticket, node, at, touched),
            Action::NodeAnnounced {
                node,
                addresses,
                web_address,
                version,
                runner,
                operator_token,
            } => self.node_announced(
                *node,
                addresses,
                |known| {
                    known.web_address.clone_from(web_address);
                    known.version.clone_from(version);
                    known.runner.clone_from(runner);
                    known.operator_token = Some(*operator_token);
                },
                touched,
            ),
            Action::NodeRemoved { node } => self.node_removed(*node, at, touched),
            Action::TicketCreated {
                ticket,
                roles,
                expires_at,
                reusable,
            } => {
                let ticket = Ticket {
                    hash: *ticket,
                    roles: *roles,
                    created_at: at,
                    created_by: command.actor,
                    expires_at: *expires_at,
                    reusable: *reusable,
                    spent_by: None,
                };
                self.ticket_created(ticket, touched)
            }
            Action::TicketRevoked { ticket } => self.ticket_revoked(ticket, at, touched),

            Action::RegistrationTokenCreated {
                token,
                hash,
                name,
                expires_at,
                reusable,
            } => {
                let token = RegistrationToken {
                    id: *token,
                    hash: *hash,
                    name: name.clone(),
                    created_at: at,
                    created_by: command.actor,
                    expires_at: *expires_at,
                    reusable: *reusable,
                    used: 0,
                };
                self.registration_token_created(token, touched)
            }
            Action::RegistrationTokenRevoked { token } => {
                self.registration_token_revoked(*token, at, touched)
            }
            Action::RunnerRegistered {
                token,
                credential,
                name,
                facts,
                version,
            } => {
                let new = NewRunner {
                    token: *token,
                    credential: *credential,
                    name,
                    facts,
                    version,
                };
                self.runner_registered(&new, at, touched)
            }
            Action::RunnerAnnounced {
                node,
                facts,
                version,
            } => self.runner_announced(*node, facts, version, touched),

            Action::UserCreated {
                user,
                name,
                email,
                password_hash,
                identity,
                role,
            } => {
                let user = User {
                    id: *user,
                    name: name.clone(),
                    email: email.as_deref().map(|email| email.trim().to_owned()),
                    password_hash: password_hash.clone(),
                    identities: identity.iter().cloned().collect(),
                    role: *role,
                    disabled: false,
                    quota: None,
                    created_at: at,
                };
                self.user_created(user, touched)
            }
            Action::UserRegistered {
                user,
                name,
                email,
                credential,
                invitation,
            } => {
                let registrant = Registrant {
                    user: *user,
                    name,
                    email: email.as_deref(),
                    credential,
                    invitation: *invitation,
                };
                self.user_registered(&registrant, at, touched)
            }
            Action::UserChanged { user, change } => {
                self.user_changed(*user, change, command.actor, at, touched)
            }
            Action::UserDeleted { user } => self.user_deleted(*user, at, touched),
            Action::IdentityLinked { user, identity } => {
                self.identity_linked(*user, identity, touched)
            }
            Action::IdentityUnlinked { user, identity } => {
                self.identity_unlinked(*user, identity, touched)
            }
            Action::InvitationCreated {
                invitation,
                hash,
                role,
                email,
                expires_at,
                reusable,
            } => {
                let invitation = Invitation {
                    id: *invitation,
                    hash: *hash,
                    role: *role,
                    email: email.clone(),
                    created_by: command.actor,
                    created_at: at,
                    expires_at: *expires_at,
                    reusable: *reusable,
                    used_by: Vec::new(),
                };
                self.invitation_created(invitation, touched)
            }
            Action::InvitationRevoked { invitation } => {
                self.invitation_revoked(*invitation, at, touched)
            }

            Action::SessionCreated {
                session,
                user,
                expires_at,
                agent,
            } => {
                let session = Session {
                    hash: *session,
                    user: *user,
                    created_at: at,
                    expires_at: *expires_at,
                    from: command.from,
                    agent: agent.chars().take(MAX_AGENT_CHARS).collect(),
                };
                self.session_created(session, touched)
            }
            Action::SessionEnded { session } => self.session_ended(*session, touched),
            Action::SessionsEnded { user, except } => self.sessions_ended(*user, *except, touched),
            Action::TokenCreated {
                token,
                hash,
                user,
                name,
                scopes,
                expires_at,
            } => {
                let token = ApiToken {
                    id: *token,
                    hash: *hash,
                    user: *user,
                    name: name.clone(),
                    scopes: scopes.clone(),
                    created_at: at,
                    expires_at: *expires_at,
                };
                self.token_created(token, touched)
            }
            Action::TokenRevoked { token } => self.token_revoked(*token, at, touched),

            Action::SignInStarted {
                state,
                binding,
                provider,
                link_to,
                invitation,
                return_to,
                expires_at,
            } => {
                let sign_in = PendingSignIn {
                    state: *state,
                    binding: *binding,
                    provider: provider.clone(),
                    link_to: *link_to,
                    invitation: *invitation,
                    return_to: return_to.clone(),
                    expires_at: *expires_at,
                };
                self.sign_in_started(sign_in, touched)
            }
            Action::SignInFinished { state } => self.sign_in_finished(*state, at, touched),
            Action::DeviceSignInStarted {
                device,
                user_code,
                expires_at,
            } => {
                let sign_in = DeviceSignIn {
                    device: *device,
                    user_code: user_code.clone(),
                    expires_at: *expires_at,
                    answer: DeviceAnswer::Waiting,
                };
                self.device_sign_in_started(sign_in, touched)
            }
            Action::DeviceSignInApproved { user_code, user } => {
                let answer = DeviceAnswer::Approved(*user);
                self.device_sign_in_answered(user_code, answer, at, touched)
            }
            Action::DeviceSignInRefused { user_code } => {
                self.device_sign_in_answered(user_code, DeviceAnswer::Refused, at, touched)
            }
            Action::DeviceSignInFinished { device } => {
                self.device_sign_in_finished(*device, at, touched)
            }
            Action::SignInBlocked { key, until } => self.sign_in_blocked(*key, *until, touched),
            Action::ExpiredRemoved => self.expired_removed(at, touched),

            Action::JobCreated {
                job,
                name,
                owner,
                settings,
            } => self.job_created(*job, name, *owner, settings, at, touched),
            Action::SceneAdded {
                job,
                file,
                scene_frames,
            } => self.scene_added(*job, file, scene_frames, at, touched),
            Action::SceneInspected { job, facts } => self.scene_inspected(*job, facts, touched),
            Action::JobCancelled { job } => self.job_cancelled(*job, at, touched),
            Action::JobShared { job, user, access } => {
                self.job_shared(*job, *user, *access, touched)
            }
            Action::JobUnshared { job, user } => self.job_unshared(*job, *user, touched),

            Action::TasksLeased { node, leases } => self.tasks_leased(*node, leases, at, touched),
            Action::LeasesEnded { leases, reason } => {
                self.leases_ended(leases, *reason, at, touched)
            }
            Action::TaskCommitted {
                task,
                epoch,
                output,
                log,
                render_ms,
            } => self.task_committed(*task, *epoch, output, log.as_ref(), *render_ms, at, touched),
            Action::TaskFailed {
                task,
                epoch,
                failure,
                log,
            } => self.task_failed(*task, *epoch, failure, log.as_ref(), at, touched),

            Action::ReplicaAdded { file, node } => self.replica_added(*file, *node, touched),
            Action::ReplicaLost { file, node } => self.replica_lost(*file, *node, touched),

            Action::WebhookSaved { webhook } => self.webhook_saved(webhook, at, touched),
            Action::WebhookDeleted { webhook } => self.webhook_deleted(*webhook, touched),
            Action::WebhookTested { webhook } => self.webhook_tested(*webhook, at, touched),
            Action::DeliveryDone {
                delivery,
                attempt,
                status,
            } => self.delivery_done(*delivery, *attempt, *status, at, touched),
            Action::DeliveryFailed {
                delivery,
                attempt,
                error,
                status,
                retry_at,
            } => {
                let failure = AttemptFailure {
                    error,
                    status: *status,
                    retry_at: *retry_at,
                };
                self.delivery_failed(*delivery, *attempt, &failure, at, touched)
            }
        }
    }
}
