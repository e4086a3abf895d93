//! How much of the farm an owner takes, and may take.

use super::{Refusal, State};
use crate::{Owner, Quota, Usage};

impl State {
    /// The owner's own quota, or the farm's default. Operators take what they want: the machines
    /// are theirs.
    pub fn quota_of(&self, owner: Owner) -> Quota {
        match owner {
            Owner::User(user) => {
                let own = self.users.get(&user).and_then(|user| user.quota);
                own.unwrap_or(self.settings.default_quota)
            }
            Owner::Operator(_) => Quota::default(),
        }
    }

    /// What the owner takes now; kept with every change, not counted.
    pub fn usage_of(&self, owner: Owner) -> Usage {
        self.index
            .jobs
            .usage
            .get(&owner)
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn check_quota_for_job(&self, owner: Owner) -> Result<(), Refusal> {
        match self.quota_of(owner).jobs {
            Some(most) if self.usage_of(owner).jobs >= most => {
                Err(Refusal::QuotaExceeded(format!(
                    "the quota is {most} jobs at a time; wait until one is over, or cancel one"
                )))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_quota_for_bytes(&self, owner: Owner, more: u64) -> Result<(), Refusal> {
        match self.quota_of(owner).bytes {
            Some(most) if self.usage_of(owner).bytes.saturating_add(more) > most => {
                Err(Refusal::QuotaExceeded(format!(
                    "the scene has {more} bytes, and with it all files would have more than the \
                     quota of {most}; ask one of the farm's admins for more"
                )))
            }
            _ => Ok(()),
        }
    }

    /// True where the owner's files fill the quota: no frame is begun whose picture would be more.
    pub fn is_full(&self, owner: Owner) -> bool {
        let most = self.quota_of(owner).bytes;
        most.is_some_and(|most| self.usage_of(owner).bytes >= most)
    }

    /// How many more tasks of the owner may be leased now; `None`: as many as there are.
    pub fn leases_left(&self, owner: Owner) -> Option<u32> {
        if self.is_full(owner) {
            return Some(0);
        }
        let most = self.quota_of(owner).frames_in_flight?;
        Some(most.saturating_sub(self.usage_of(owner).frames_in_flight))
    }
}
