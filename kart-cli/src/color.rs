//! Whether to write in colours.

/// What `--color` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether to write in colours to something that is a terminal, or is not.
    pub(crate) fn resolve(self, is_terminal: bool) -> bool {
        self.resolve_by(is_terminal, |name| std::env::var(name).ok())
    }

    /// As <https://no-color.org> and <https://bixense.com/clicolors> have it.
    fn resolve_by(self, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let is = |name, text| variable(name).is_some_and(|value| value == text);
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if is_set("NO_COLOR") => false,
            Color::Auto if is_set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0") => true,
            Color::Auto => is_terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Color;

    #[test]
    fn what_is_said_goes_before_the_environment_and_that_before_the_terminal() {
        let resolve = |color: Color, is_terminal, set: &[(&str, &str)]| {
            color.resolve_by(is_terminal, |name| {
                let found = set.iter().find(|(set, _)| *set == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(resolve(Color::Auto, true, &[]));
        assert!(!resolve(Color::Auto, false, &[]));
        assert!(!resolve(Color::Auto, true, &[("NO_COLOR", "1")]));
        assert!(resolve(Color::Auto, true, &[("NO_COLOR", "")]));
        assert!(resolve(Color::Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!resolve(Color::Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!resolve(Color::Auto, true, &[("CLICOLOR", "0")]));
        assert!(!resolve(Color::Auto, true, &[("TERM", "dumb")]));
        assert!(resolve(Color::Always, false, &[("NO_COLOR", "1")]));
        assert!(!resolve(Color::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }
}
