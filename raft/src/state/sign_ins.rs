//! Sign-ins that have begun, and who must not try.

use super::{Effect, Refusal, State, Touched};
use crate::{DeviceAnswer, DeviceSignIn, PendingSignIn, SecretHash, TimestampMs, UserId};

/// Of each kind; beyond, those go that expire first.
const MAX_PENDING: usize = 10_000;

impl State {
    pub(super) fn sign_in_started(
        &mut self,
        sign_in: PendingSignIn,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.sign_ins.contains_key(&sign_in.state) {
            return Ok(Effect::Done);
        }
        if self.sign_ins.len() >= MAX_PENDING
            && let Some((_, first)) = self.index.sign_ins.sign_ins.first().copied()
        {
            self.remove_sign_in(first, touched);
        }
        self.put_sign_in(sign_in, touched);
        Ok(Effect::Done)
    }

    pub(super) fn sign_in_finished(
        &mut self,
        state: SecretHash,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let is_live = self
            .sign_ins
            .get(&state)
            .is_some_and(|sign_in| sign_in.expires_at > at);
        if !is_live {
            return Err(Refusal::NotFound(
                "this sign-in is not known, was finished, or took too long; sign in again".into(),
            ));
        }
        self.remove_sign_in(state, touched);
        Ok(Effect::Done)
    }

    pub(super) fn device_sign_in_started(
        &mut self,
        sign_in: DeviceSignIn,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.device_sign_ins.contains_key(&sign_in.device) {
            return Ok(Effect::Done);
        }
        if self.device_sign_in_by_code(&sign_in.user_code).is_some() {
            return Err(Refusal::Conflict(
                "another device has this code; try again with a new one".into(),
            ));
        }
        if self.device_sign_ins.len() >= MAX_PENDING
            && let Some((_, first)) = self.index.sign_ins.devices.first().copied()
        {
            self.remove_device(first, touched);
        }
        self.put_device(sign_in, touched);
        Ok(Effect::Done)
    }

    pub(super) fn device_sign_in_answered(
        &mut self,
        user_code: &str,
        answer: DeviceAnswer,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let known = self.device_sign_in_by_code(user_code);
        let Some(known) = known.filter(|known| known.expires_at > at) else {
            return Err(Refusal::NotFound(
                "no device waits with this code; it may have expired: sign in on it again".into(),
            ));
        };
        if known.answer == answer {
            return Ok(Effect::Done);
        }
        if known.answer != DeviceAnswer::Waiting {
            return Err(Refusal::Conflict(
                "the device with this code has its answer already".into(),
            ));
        }
        let answered = DeviceSignIn {
            answer,
            ..known.clone()
        };
        if let DeviceAnswer::Approved(user) = answer {
            self.check_enabled(user)?;
        }
        self.put_device(answered, touched);
        Ok(Effect::Done)
    }

    /// Answers who approved it.
    pub(super) fn device_sign_in_finished(
        &mut self,
        device: SecretHash,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let known = self.device_sign_ins.get(&device);
        let Some(known) = known.filter(|known| known.expires_at > at) else {
            return Err(Refusal::NotFound(
                "this sign-in is not known, was finished, or took too long; sign in again".into(),
            ));
        };
        let user: UserId = match known.answer {
            DeviceAnswer::Approved(user) => user,
            DeviceAnswer::Waiting => {
                return Err(Refusal::Conflict("nobody has approved it yet".into()));
            }
            DeviceAnswer::Refused => {
                return Err(Refusal::NotAllowed("the sign-in was refused".into()));
            }
        };
        self.remove_device(device, touched);
        Ok(Effect::ApprovedBy(user))
    }

    /// What the user has approved and no device has taken yet is not given out any more.
    pub(super) fn drop_approvals_of(&mut self, user: UserId, touched: &mut Touched) {
        let approved = |device: &&DeviceSignIn| device.answer == DeviceAnswer::Approved(user);
        let devices = self.device_sign_ins.values().filter(approved);
        let devices: Vec<_> = devices.map(|device| device.device).collect();
        for device in devices {
            self.remove_device(device, touched);
        }
    }

    /// A block is never shortened.
    pub(super) fn sign_in_blocked(
        &mut self,
        key: SecretHash,
        until: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.blocked.get(&key).is_some_and(|known| *known >= until) {
            return Ok(Effect::Done);
        }
        if !self.blocked.contains_key(&key)
            && self.blocked.len() >= MAX_PENDING
            && let Some((_, first)) = self.index.sign_ins.blocked.first().copied()
        {
            self.put_blocked(first, None, touched);
        }
        self.put_blocked(key, Some(until), touched);
        Ok(Effect::Done)
    }

    pub(super) fn drop_expired_sign_ins(&mut self, at: TimestampMs, touched: &mut Touched) {
        while let Some((end, state)) = self.index.sign_ins.sign_ins.first().copied()
            && end <= at
        {
            self.remove_sign_in(state, touched);
        }
        while let Some((end, device)) = self.index.sign_ins.devices.first().copied()
            && end <= at
        {
            self.remove_device(device, touched);
        }
        while let Some((end, key)) = self.index.sign_ins.blocked.first().copied()
            && end <= at
        {
            self.put_blocked(key, None, touched);
        }
    }
}
