//! Until the job log has indexes for these.

use jiggablend_raft::{Identity, Owner, Quota, State, Usage, User};

pub(crate) trait Lookups {
    fn user_by_identity(&self, identity: &Identity) -> Option<&User>;
    fn quota_of(&self, owner: Owner) -> Quota;
    fn usage_of(&self, owner: Owner) -> Usage;
}

impl Lookups for State {
    fn user_by_identity(&self, identity: &Identity) -> Option<&User> {
        let mut users = self.users.values();
        users.find(|user| user.identities.contains(identity))
    }

    fn quota_of(&self, owner: Owner) -> Quota {
        let own = match owner {
            Owner::User(user) => self.users.get(&user).and_then(|user| user.quota),
            Owner::Operator(_) => Some(Quota::default()),
        };
        own.unwrap_or(self.settings.default_quota)
    }

    fn usage_of(&self, owner: Owner) -> Usage {
        let mut usage = Usage::default();
        for job in self.jobs.values().filter(|job| job.owner == owner) {
            let files = job.files.iter().filter_map(|file| self.files.get(file));
            usage.bytes += files.map(|file| file.size_bytes).sum::<u64>();
            usage.jobs += u32::from(!job.state.is_final());
            usage.frames_in_flight += job.counts.leased;
        }
        usage
    }
}
