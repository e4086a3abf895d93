//! Stories of people: accounts, what they sign in with, what they share and want to be told of.

use super::*;

const PROVIDERS: [&str; 2] = ["google", "discord"];

impl Story {
    pub(super) fn people(&mut self, state: &State) -> Action {
        let known = self.any(state.users.keys().copied());
        let session = self.any(state.sessions.keys().copied());
        match (known, session) {
            (_, Some(session)) if self.chance(20) => Action::SessionEnded { session },
            (Some(user), _) if self.chance(70) => Action::SessionCreated {
                session: self.hash(),
                user,
                expires_at: TimestampMs(self.at + self.random.random_range(0..2_000)),
                agent: "curl".into(),
            },
            _ => {
                let id = self.id();
                Action::UserCreated {
                    user: UserId(Uuid::from_u128(id)),
                    name: format!("user {id}"),
                    email: Some(format!("{}@example.org", id % 5)),
                    password_hash: Some("argon2id".into()),
                    identity: None,
                    role: UserRole::Member,
                }
            }
        }
    }

    fn user(&mut self, state: &State) -> Option<UserId> {
        self.any(state.users.keys().copied())
    }

    fn identity(&mut self) -> Identity {
        Identity {
            provider: PROVIDERS[self.random.random_range(0..2)].into(),
            subject: self.random.random_range(0..6).to_string(),
        }
    }

    fn role(&mut self) -> UserRole {
        match self.random.random_range(0..4) {
            0 | 1 => UserRole::Admin,
            2 => UserRole::Member,
            _ => UserRole::Viewer,
        }
    }

    /// A time soon, which may come while the story goes on.
    fn soon(&mut self) -> TimestampMs {
        TimestampMs(self.at + self.random.random_range(0..2_000))
    }

    pub(super) fn account(&mut self, state: &State) -> Option<Action> {
        if self.chance(30) {
            let id = self.id();
            let credential = match self.chance(50) {
                true => NewCredential::Password("argon2id".into()),
                false => NewCredential::External(self.identity()),
            };
            let invitation = self.any(state.invitations.values().map(|known| known.hash));
            return Some(Action::UserRegistered {
                user: UserId(Uuid::from_u128(id)),
                name: format!("guest {id}"),
                email: Some(format!("{}@example.org", id % 7)),
                credential,
                invitation: invitation.filter(|_| self.chance(70)),
            });
        }
        let user = self.user(state)?;
        let identity = self.identity();
        Some(match self.random.random_range(0..8) {
            0 => Action::UserDeleted { user },
            1 | 2 => Action::IdentityLinked { user, identity },
            3 => Action::IdentityUnlinked { user, identity },
            _ => Action::UserChanged {
                user,
                change: self.change(state),
            },
        })
    }

    fn change(&mut self, state: &State) -> UserChange {
        match self.random.random_range(0..7) {
            0 => UserChange::Name(format!("renamed {}", self.at)),
            1 => UserChange::Email(Some(format!("{}@example.net", self.at % 5))),
            2 => UserChange::Email(None),
            3 => UserChange::Role(self.role()),
            4 => UserChange::Disabled(self.chance(40)),
            5 => UserChange::Password {
                password_hash: format!("argon2id {}", self.at),
                keep: self.any(state.sessions.keys().copied()),
            },
            _ => UserChange::Quota(Some(Quota {
                bytes: self.chance(30).then_some(1 << 60),
                jobs: self.chance(50).then_some(3),
                frames_in_flight: self.chance(50).then_some(2),
            })),
        }
    }

    pub(super) fn door(&mut self, state: &State) -> Option<Action> {
        let invitation = InvitationId(Uuid::from_u128(self.id()));
        let registration = RegistrationTokenId(Uuid::from_u128(self.id()));
        let known_registration = self.any(state.registration_tokens.values().map(|t| t.hash));
        Some(match self.random.random_range(0..9) {
            0 => Action::InvitationCreated {
                invitation,
                hash: self.hash(),
                role: self.role(),
                email: self.chance(20).then(|| "3@example.org".to_owned()),
                expires_at: self.soon(),
                reusable: self.chance(50),
            },
            1 => Action::InvitationRevoked {
                invitation: self.any(state.invitations.keys().copied())?,
            },
            2 => Action::TokenCreated {
                token: TokenId(Uuid::from_u128(self.id())),
                hash: self.hash(),
                user: self.user(state)?,
                name: "a script".into(),
                scopes: [Scope::Read, Scope::Jobs].into(),
                expires_at: self.chance(50).then(|| self.soon()),
            },
            3 => Action::TokenRevoked {
                token: self.any(state.tokens.keys().copied())?,
            },
            4 => Action::SessionsEnded {
                user: self.user(state)?,
                except: self.any(state.sessions.keys().copied()),
            },
            5 => Action::RegistrationTokenCreated {
                token: registration,
                hash: self.hash(),
                name: "the render closet".into(),
                expires_at: self.chance(50).then(|| self.soon()),
                reusable: self.chance(50),
            },
            6 if self.chance(40) => Action::RegistrationTokenRevoked {
                token: self.any(state.registration_tokens.keys().copied())?,
            },
            7 => Action::RunnerAnnounced {
                node: self.node(state),
                facts: RunnerFacts {
                    slots: self.random.random_range(1..4),
                    ..RunnerFacts::default()
                },
                version: "curl".into(),
            },
            _ => Action::RunnerRegistered {
                token: known_registration?,
                credential: SecretHash::of(&[self.random.random_range(0..6)]),
                name: "closet".into(),
                facts: RunnerFacts::default(),
                version: "curl".into(),
            },
        })
    }

    pub(super) fn sign_in(&mut self, state: &State) -> Action {
        let started = self.any(state.sign_ins.keys().copied());
        let live = |device: &&DeviceSignIn| device.expires_at.0 > self.at;
        let codes: Vec<_> = state.device_sign_ins.values().filter(live).collect();
        let approved = |device: &&&DeviceSignIn| matches!(device.answer, DeviceAnswer::Approved(_));
        let approved = codes.iter().find(approved).map(|device| device.device);
        if let Some(device) = approved.filter(|_| self.chance(50)) {
            return Action::DeviceSignInFinished { device };
        }
        let device = self.any(state.device_sign_ins.keys().copied());
        let user_code = codes
            .choose(&mut self.random)
            .map_or("nobody's".to_owned(), |known| known.user_code.clone());
        match (self.random.random_range(0..8), self.user(state)) {
            (0, user) => Action::SignInStarted {
                state: self.hash(),
                binding: self.hash(),
                provider: PROVIDERS[0].into(),
                link_to: user,
                invitation: None,
                return_to: "/jobs".into(),
                expires_at: self.soon(),
            },
            (1 | 2, Some(user)) => Action::DeviceSignInApproved { user_code, user },
            (3, _) => Action::DeviceSignInRefused { user_code },
            (4, _) => Action::SignInBlocked {
                key: SecretHash::of(&[self.random.random_range(0..4)]),
                until: self.soon(),
            },
            (5, _) if started.is_some() => Action::SignInFinished {
                state: started.unwrap(),
            },
            (6, _) if device.is_some() => Action::DeviceSignInFinished {
                device: device.unwrap(),
            },
            _ => Action::DeviceSignInStarted {
                device: self.hash(),
                user_code: format!("CODE-{}", self.random.random_range(0..9)),
                expires_at: self.soon(),
            },
        }
    }

    pub(super) fn sharing(&mut self, state: &State) -> Option<Action> {
        let job = self.any(state.jobs.keys().copied())?;
        let user = self.user(state)?;
        Some(match self.random.random_range(0..4) {
            0 => Action::JobUnshared { job, user },
            1 => Action::JobShared {
                job,
                user,
                access: ShareAccess::Manage,
            },
            _ => Action::JobShared {
                job,
                user,
                access: ShareAccess::View,
            },
        })
    }

    pub(super) fn webhook(&mut self, state: &State) -> Option<Action> {
        let webhook = self.any(state.webhooks.keys().copied());
        let delivery = self.any(state.deliveries.keys().copied());
        let attempt = delivery.map_or(1, |id| state.deliveries[&id].attempts + 1);
        Some(match self.random.random_range(0..8) {
            0 => Action::WebhookDeleted { webhook: webhook? },
            1 => Action::WebhookTested { webhook: webhook? },
            2 | 3 => Action::DeliveryDone {
                delivery: delivery?,
                attempt,
                status: 204,
            },
            4 | 5 => Action::DeliveryFailed {
                delivery: delivery?,
                attempt,
                error: "connection refused".into(),
                status: self.chance(50).then_some(500),
                retry_at: self.chance(70).then(|| self.soon()),
            },
            _ => Action::WebhookSaved {
                webhook: self.hook(state, webhook),
            },
        })
    }

    fn hook(&mut self, state: &State, known: Option<WebhookId>) -> Webhook {
        let user = self.user(state).map(Owner::User);
        let owner = user.filter(|_| self.chance(60));
        let known = known
            .filter(|_| self.chance(50))
            .map(|id| &state.webhooks[&id]);
        let id = self.id();
        Webhook {
            id: known.map_or(WebhookId(Uuid::from_u128(id)), |known| known.id),
            owner: known.map_or(owner.unwrap_or(Owner::Operator(NodeId(1))), |known| {
                known.owner
            }),
            name: "a bell".into(),
            url: "https://bells.example.org".into(),
            shape: WebhookShape::Json,
            events: [
                WebhookEvent::JobStarted,
                WebhookEvent::JobDone,
                WebhookEvent::JobCancelled,
                WebhookEvent::NodeJoined,
                WebhookEvent::NodeRemoved,
            ]
            .into(),
            all_jobs: self.chance(50),
            secret: "a key".into(),
            enabled: self.chance(80),
            created_at: TimestampMs(0),
            failures: 0,
        }
    }

    pub(super) fn farm(&mut self) -> Action {
        if self.chance(20) {
            return Action::FarmRenamed {
                name: format!("farm {}", self.at),
            };
        }
        Action::SettingsChanged {
            settings: Settings {
                registration: match self.random.random_range(0..5) {
                    0 => Registration::Closed,
                    1 | 2 => Registration::Open,
                    _ => Registration::Invitation,
                },
                ..Settings::default()
            },
        }
    }
}
