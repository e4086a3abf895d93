//! The kinds of command, as words.

use super::Action;

macro_rules! names {
    ($($kind:ident = $name:literal;)*) => {
        impl Action {
            /// The kinds of command, for messages and the audit log.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The kind of this one: nothing of what it carries.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind { .. } => $name),* }
            }
        }
    };
}

names! {
    FarmCreated = "farm_created";
    NodeAdmitted = "node_admitted";
    NodeAnnounced = "node_announced";
    NodeRemoved = "node_removed";
    TicketCreated = "ticket_created";
    TicketRevoked = "ticket_revoked";
    SettingsChanged = "settings_changed";
    FarmRenamed = "farm_renamed";
    RegistrationTokenCreated = "registration_token_created";
    RegistrationTokenRevoked = "registration_token_revoked";
    RunnerRegistered = "runner_registered";
    RunnerAnnounced = "runner_announced";
    UserCreated = "user_created";
    UserRegistered = "user_registered";
    UserChanged = "user_changed";
    UserDeleted = "user_deleted";
    IdentityLinked = "identity_linked";
    IdentityUnlinked = "identity_unlinked";
    InvitationCreated = "invitation_created";
    InvitationRevoked = "invitation_revoked";
    SessionCreated = "session_created";
    SessionEnded = "session_ended";
    SessionsEnded = "sessions_ended";
    TokenCreated = "token_created";
    TokenRevoked = "token_revoked";
    SignInStarted = "sign_in_started";
    SignInFinished = "sign_in_finished";
    DeviceSignInStarted = "device_sign_in_started";
    DeviceSignInApproved = "device_sign_in_approved";
    DeviceSignInRefused = "device_sign_in_refused";
    DeviceSignInFinished = "device_sign_in_finished";
    SignInBlocked = "sign_in_blocked";
    ExpiredRemoved = "expired_removed";
    JobCreated = "job_created";
    SceneAdded = "scene_added";
    SceneInspected = "scene_inspected";
    JobCancelled = "job_cancelled";
    JobShared = "job_shared";
    JobUnshared = "job_unshared";
    TasksLeased = "tasks_leased";
    LeasesEnded = "leases_ended";
    TaskCommitted = "task_committed";
    TaskFailed = "task_failed";
    ReplicaAdded = "replica_added";
    ReplicaLost = "replica_lost";
    WebhookSaved = "webhook_saved";
    WebhookDeleted = "webhook_deleted";
    WebhookTested = "webhook_tested";
    DeliveryDone = "delivery_done";
    DeliveryFailed = "delivery_failed";
}
