//! Sign-in settings, from the environment as the original JiggaBlend had them.

#[derive(Debug, Clone, Default)]
pub(crate) struct LocalAuth {
    /// `ENABLE_LOCAL_AUTH`
    pub(crate) enabled: bool,
    /// `LOCAL_TEST_EMAIL` and `LOCAL_TEST_PASSWORD`
    pub(crate) test_user: Option<(String, String)>,
}

impl LocalAuth {
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let enabled = match set("ENABLE_LOCAL_AUTH").as_deref() {
            None | Some("false" | "0" | "no") => false,
            Some("true" | "1" | "yes") => true,
            Some(other) => anyhow::bail!("ENABLE_LOCAL_AUTH is '{other}'; set it to true or false"),
        };
        let test_user = match (set("LOCAL_TEST_EMAIL"), set("LOCAL_TEST_PASSWORD")) {
            (Some(email), Some(password)) => Some((email, password)),
            (None, None) => None,
            _ => anyhow::bail!(
                "LOCAL_TEST_EMAIL and LOCAL_TEST_PASSWORD go together; set both or neither"
            ),
        };
        anyhow::ensure!(
            enabled || test_user.is_none(),
            "LOCAL_TEST_EMAIL is set but local accounts are off; set ENABLE_LOCAL_AUTH=true too"
        );
        Ok(Self { enabled, test_user })
    }
}
