//! Sign-ins that have begun, by when they expire.

use std::collections::{BTreeMap, BTreeSet};

use crate::{DeviceSignIn, PendingSignIn, SecretHash, TimestampMs};

type ByExpiry = BTreeSet<(TimestampMs, SecretHash)>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SignInIndex {
    pub(crate) sign_ins: ByExpiry,
    pub(crate) devices: ByExpiry,
    pub(crate) blocked: ByExpiry,
    pub(crate) user_codes: BTreeMap<String, SecretHash>,
}

impl SignInIndex {
    pub(crate) fn sign_in(
        &mut self,
        before: Option<&PendingSignIn>,
        after: Option<&PendingSignIn>,
    ) {
        let key = |sign_in: &PendingSignIn| (sign_in.expires_at, sign_in.state);
        replace(&mut self.sign_ins, before.map(key), after.map(key));
    }

    pub(crate) fn device(&mut self, before: Option<&DeviceSignIn>, after: Option<&DeviceSignIn>) {
        let key = |sign_in: &DeviceSignIn| (sign_in.expires_at, sign_in.device);
        replace(&mut self.devices, before.map(key), after.map(key));
        if let Some(sign_in) = before {
            self.user_codes.remove(&sign_in.user_code);
        }
        if let Some(sign_in) = after {
            self.user_codes
                .insert(sign_in.user_code.clone(), sign_in.device);
        }
    }

    pub(crate) fn blocked(
        &mut self,
        key: SecretHash,
        before: Option<TimestampMs>,
        after: Option<TimestampMs>,
    ) {
        let pair = |until| (until, key);
        replace(&mut self.blocked, before.map(pair), after.map(pair));
    }
}

fn replace(
    set: &mut ByExpiry,
    before: Option<(TimestampMs, SecretHash)>,
    after: Option<(TimestampMs, SecretHash)>,
) {
    if let Some(before) = before {
        set.remove(&before);
    }
    set.extend(after);
}
