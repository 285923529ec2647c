//! [`PageTexts`]: all texts of the pages, in one place.

use std::borrow::Cow;

use crate::key::KeyKind;
use crate::store::{KeyState, UsageKind};

/// A text of the pages.
type Text = Cow<'static, str>;

/// Declares the texts with their English values.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $english:literal,)*) => {
        /// The texts of the pages. The default is [English](Self::english).
        ///
        /// Change them to the words and the language of your product, such as "tokens" and "environments".
        /// Placeholders in braces are filled in. `{error}` is the English error of the
        /// [API](crate::manage::api) for a wrong line: in another language, write a text without it.
        ///
        /// # Examples
        ///
        /// ```
        /// use tower_api_key::manage::pages::PageTexts;
        ///
        /// let mut texts = PageTexts::english();
        /// texts.stage = "Environment".into();
        /// texts.stages.push(("live".into(), "Production".into()));
        /// assert_eq!(texts.keys, "API keys");
        /// ```
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct PageTexts {
            /// The language, as in the HTML attribute `lang`.
            pub lang: Text,
            /// The names of stages: in a record, and on the pages.
            pub stages: Vec<(Text, Text)>,
            /// The names of abilities that the catalogue does not have: in a record, and on the pages.
            pub other_abilities_named: Vec<(Text, Text)>,
            /// The names of the reasons for a refusal, by the [kind of usage](crate::store::UsageKind::as_str).
            pub reasons: Vec<(Text, Text)>,
            /// The short names of the months.
            pub months: [Text; 12],
            /// One minute, and several minutes.
            pub minutes: [Text; 2],
            /// One hour, and several hours.
            pub hours: [Text; 2],
            /// One day, and several days.
            pub days: [Text; 2],
            /// One month, and several months.
            pub many_months: [Text; 2],
            /// One year, and several years.
            pub years: [Text; 2],
            /// The periods of the charts of usage: hours, days, months.
            pub periods: [Text; 3],
            /// The first steps of an owner without keys.
            pub first_steps: Vec<Text>,
            /// The grace periods of a rotated key, each with an explanation: none, an hour, a day, a week.
            pub graces: [(Text, Text); 4],
            $($(#[$doc])* pub $name: Text,)*
        }

        impl PageTexts {
            /// Returns the English texts.
            #[must_use]
            pub fn english() -> Self {
                Self {
                    lang: "en".into(),
                    stages: Vec::new(),
                    other_abilities_named: Vec::new(),
                    reasons: [
                        ("expired", "expired"),
                        ("revoked", "revoked"),
                        ("disabled", "disabled"),
                        ("rate_limited", "rate limit"),
                        ("missing_ability", "no access"),
                        ("not_allowed", "restriction"),
                        ("wrong_stage", "wrong stage"),
                        ("wrong_tenant", "wrong tenant"),
                        ("suspended", "account suspended"),
                        ("unknown_session", "session of another key"),
                        ("other", "other"),
                    ].map(|(kind, called)| (kind.into(), called.into())).into(),
                    months: [
                        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
                    ].map(Text::from),
                    minutes: ["1 minute", "{n} minutes"].map(Text::from),
                    hours: ["1 hour", "{n} hours"].map(Text::from),
                    days: ["1 day", "{n} days"].map(Text::from),
                    many_months: ["1 month", "{n} months"].map(Text::from),
                    years: ["1 year", "{n} years"].map(Text::from),
                    periods: ["Last 24 hours", "Last 30 days", "Last 12 months"].map(Text::from),
                    first_steps: [
                        "Create a key for one program, and give it only the access that this program needs.",
                        "Copy it into your secret store. It is shown once.",
                        "Send it with each request:",
                    ].map(Text::from).into(),
                    graces: [
                        ("Now", "The old key is revoked at once. Choose this if it has leaked."),
                        ("In 1 hour", ""),
                        ("In 24 hours", "Time to bring the new key to all programs."),
                        ("In 7 days", ""),
                    ].map(|(label, says)| (label.into(), says.into())),
                    $($name: $english.into(),)*
                }
            }
        }
    };
}

texts! {
    /// The title of the list.
    keys: "API keys",
    /// What keys are, in one sentence.
    keys_lead: "Keys let your programs call the API. Treat them like passwords.",
    /// The button for a new key.
    new_key: "Create key",
    /// The introduction of the form for a new key.
    new_key_lead: "Give each program its own key, so that one can be replaced without the others.",
    /// The button for a new public key.
    new_public_key: "Create public key",
    /// The introduction of the form for a new public key.
    new_public_key_lead: "A public key is used in web pages, where everybody can read it. Name the sites that may use it.",
    /// The button that issues the key.
    create: "Create key",
    /// The button that saves a change.
    save: "Save changes",
    /// The link that leaves a form.
    cancel: "Cancel",
    /// The title of an empty list.
    no_keys: "No keys yet",
    /// The explanation of an empty list.
    no_keys_says: "A key identifies your program to the API, and says what it may do.",
    /// The button for the first key.
    first_key: "Create your first key",
    /// The message if no key matches the filters.
    none_found: "No key matches these filters.",
    /// The label of the filters.
    filters: "Filter keys",
    /// The label of the search by name.
    search: "Search by name",
    /// The option that does not filter.
    any: "Any",
    /// The filter for unused keys.
    unused: "Not used for 90 days",
    /// The button that applies the filters.
    apply: "Apply",
    /// The link that removes the filters.
    clear: "Clear filters",
    /// The message if more keys match than are sorted.
    sorted_in_part: "The newest 1000 keys that match are sorted. Filter the list to see others.",
    /// The label of the links between pages.
    pages: "Pages of the list",
    /// The link to the first page.
    first_page: "First page",
    /// The link to the next page.
    next_page: "Next page",
    /// The link from an error back to the list.
    to_the_list: "All API keys",
    /// The label of the actions on a key.
    actions: "Actions",
    /// The label of the name.
    name: "Name",
    /// The explanation of the name.
    name_hint: "What the key is for, such as “Nightly import”.",
    /// The label of the state.
    state: "State",
    /// The state of a working key.
    active: "Active",
    /// The state of a key that expires within two weeks.
    expires_soon: "Expires soon",
    /// The state of a disabled key.
    disabled: "Disabled",
    /// The state of an expired key.
    expired: "Expired",
    /// The state of a revoked key.
    revoked: "Revoked",
    /// The state of a key with a successor.
    rotated: "Rotated",
    /// The state of a key whose tenant is suspended.
    suspended: "Suspended",
    /// The link to the successor of a key.
    to_successor: "Successor",
    /// The text before the end of a rotated key.
    works_until: "works until",
    /// The label of the abilities.
    abilities: "Access",
    /// The explanation of the abilities.
    abilities_hint: "A key can do only what you allow here.",
    /// The explanation of a key that may do nothing.
    no_abilities: "No access",
    /// The explanation of a key that may do everything.
    everything: "Everything",
    /// The explanation of a key that may do all of a resource.
    all_of: "All of {resource}",
    /// The number of abilities that are not named.
    more: "+{n} more",
    /// The label of abilities that the catalogue does not have.
    other_abilities: "Other access",
    /// The option to choose by resource.
    by_resource: "Choose by resource",
    /// The explanation of that option.
    by_resource_says: "Only what the program needs",
    /// The level without access to a resource.
    level_none: "None",
    /// The level that reads a resource.
    level_read: "Read",
    /// The level with all access to a resource.
    level_write: "Read and write",
    /// The level of a custom choice.
    level_custom: "Custom",
    /// The label of the stage, such as live or test.
    stage: "Stage",
    /// The explanation of the stage.
    stage_hint: "The key works in this stage only.",
    /// The explanation of a key that works in all stages.
    any_stage: "All stages",
    /// The label of the time of issue.
    created: "Created",
    /// The text before the actor.
    by: "by",
    /// The name of the application as an actor.
    the_system: "the system",
    /// The name of a key as an actor.
    a_key: "key",
    /// The label of the last use.
    last_used: "Last used",
    /// The text for no use or no expiry.
    never: "Never",
    /// The column of the usage of the last days.
    thirty_days: "Last 30 days",
    /// The text for one request.
    one_request: "1 request, {share}\u{a0}% refused",
    /// The number of requests.
    requests: "{n} requests, {share}\u{a0}% refused",
    /// The text for no requests.
    no_requests: "No requests",
    /// A time in the past.
    ago: "{time} ago",
    /// A time in the future.
    ahead: "in {time}",
    /// A time less than a minute ago.
    just_now: "just now",
    /// The label of the expiry.
    expiry: "Expires",
    /// The explanation of the expiry.
    expiry_hint: "A key that expires limits what a leak can do.",
    /// An expiry in days from now.
    in_days: "{n} days",
    /// The date of that expiry.
    until: "until {date}",
    /// An expiry on a chosen date.
    on_date: "On a date",
    /// The label of that date.
    date: "Date (the key works to its end, in UTC)",
    /// The option of no expiry.
    never_expires: "Never",
    /// The explanation of no expiry.
    never_expires_says: "Rotate it yourself from time to time",
    /// The option that leaves the expiry as it is.
    keep_expiry: "As it is",
    /// The label of the folded part of the form.
    restrictions: "Restrictions",
    /// The explanation of the restrictions.
    restrictions_hint: "Optional. One entry a line; an empty field restricts nothing.",
    /// The label of the rate limits.
    limits: "Rate limits",
    /// The explanation of the rate limits.
    limits_hint: "Such as “100 per minute” or “10000 per day”.",
    /// The label of the addresses.
    addresses: "IP addresses",
    /// The explanation of the addresses.
    addresses_hint: "Addresses and networks, such as “192.0.2.7” or “2001:db8::/32”.",
    /// The label of the sites.
    origins: "Sites",
    /// The explanation of the sites.
    origins_hint: "Sites whose pages may use the key, such as “https://*.shop.example”.",
    /// The label of the pages that may use a key.
    referrers: "Pages",
    /// The explanation of these pages.
    referrers_hint: "Pages that may use the key, such as “https://app.example/*”.",
    /// The label of the endpoints.
    endpoints: "Endpoints",
    /// The explanation of the endpoints.
    endpoints_hint: "Methods and paths, such as “GET /v1/reports/*”.",
    /// The text for no restriction.
    not_restricted: "Not restricted",
    /// The text for an empty list, which allows nothing.
    nothing_allowed: "None: every request is refused",
    /// The title of the page of a new secret.
    your_key: "Your new key",
    /// The explanation of a new secret.
    your_key_says: "Copy it now. For your safety, it is shown only once: we keep no copy, and nobody can look it up.",
    /// The title of the page of a new public key.
    your_public_key: "Your new public key",
    /// The explanation of a new public key.
    your_public_key_says: "Add it to your pages. The page of the key shows it again.",
    /// The message if the form was sent again.
    replaces_another: "This form was sent more than once. This key replaces the first one, which does not work.",
    /// The label of the secret.
    secret: "Key",
    /// The title above the examples of use.
    try_it: "Use it",
    /// The label of the `curl` command.
    with_curl: "With curl",
    /// The label of the environment variable.
    in_environment: "In an .env file",
    /// The button that confirms that the secret is stored.
    stored: "I have stored it",
    /// The button that leads to the page of a public key.
    to_the_key: "Go to the key",
    /// The button that copies.
    copy: "Copy",
    /// The name of the copy button for screen readers.
    copy_what: "Copy: {what}",
    /// The message after copying.
    copied: "Copied",
    /// The message if copying fails: the text is selected.
    not_copied: "Press Ctrl+C to copy",
    /// The title of the answer to a repeated form.
    already_created: "This key was already created",
    /// The explanation of a repeated form.
    already_created_says: "This form was sent before, and its key is in use, or was created some time ago. Its secret cannot be shown again. Rotate the key if you need another one.",
    /// The link to another form.
    another_key: "Create another key",
    /// The title of the record of a key.
    details: "Details",
    /// The label of the public id.
    id: "Key ID",
    /// The label of the kind.
    kind: "Kind",
    /// The kind of a secret key.
    secret_kind: "Secret: for programs only",
    /// The kind of a public key.
    public_kind: "Public: for web pages",
    /// The kind of a public key, in one word.
    public: "Public",
    /// The label of the time to replace a key.
    rotation_due: "Rotation due",
    /// The label of the successor.
    successor: "Replaced by",
    /// The label of the key with which rate limits are shared.
    counted_as: "Rate limits count with",
    /// The title of the usage.
    usage: "Requests",
    /// The label of the choice of a period.
    usage_by: "Period",
    /// The caption of the table of usage.
    usage_caption: "Requests by period, accepted and refused by reason",
    /// The column of the periods.
    period: "Period",
    /// The label of accepted requests.
    accepted: "Accepted",
    /// The label of refused requests.
    refused: "Refused",
    /// The column of requests refused for one reason.
    refused_because: "Refused: {reason}",
    /// The label of the folded table.
    as_table: "Show as a table",
    /// The message if usage cannot be read.
    usage_unknown: "The numbers cannot be read at the moment.",
    /// The title of the history.
    history: "History",
    /// The link to older changes.
    older: "Older changes",
    /// The fields that an event changed.
    what_changed: "Changed: {fields}",
    /// The event of issuing the key.
    was_issued: "Created",
    /// The event of an imported key.
    was_imported: "Imported",
    /// The event of changing the key.
    was_updated: "Changed",
    /// The event of disabling the key.
    was_disabled: "Disabled",
    /// The event of enabling the key.
    was_enabled: "Enabled",
    /// The event of rotating the key.
    was_rotated: "Rotated",
    /// The event of revoking the key.
    was_revoked: "Revoked",
    /// The action that renames a key.
    rename: "Rename",
    /// The action that changes a key.
    change: "Change",
    /// The action that disables a key.
    disable: "Disable",
    /// The action that enables a key.
    enable: "Enable",
    /// The action that rotates a key.
    rotate: "Rotate",
    /// The explanation of a rotation.
    rotate_says: "You get a new key with the same access. Choose when the old one stops working.",
    /// The label of the grace period.
    grace: "The old key stops working",
    /// The action that revokes a key.
    revoke: "Revoke",
    /// The consequence for requests.
    revoke_refused: "stops working at once: every request with it is refused.",
    /// The warning that a revocation cannot be undone.
    revoke_for_good: "This cannot be undone.",
    /// The alternatives to a revocation.
    revoke_instead: "To replace it without an interruption, rotate it instead. To stop it for a while, disable it.",
    /// The check box that also revokes successors.
    with_successors: "Revoke the keys that replaced it, too",
    /// The explanation of that check box.
    with_successors_says: "Otherwise they still work.",
    /// The confirmation of a new name.
    done_renamed: "The key has a new name.",
    /// The confirmation of a change.
    done_changed: "The key was changed.",
    /// The confirmation that the key is disabled.
    done_disabled: "The key is disabled: its requests are refused until you enable it.",
    /// The confirmation that the key is enabled.
    done_enabled: "The key is enabled.",
    /// The confirmation of a revocation.
    done_revoked: "The key was revoked.",
    /// The title of the summary of mistakes.
    not_done: "Nothing was changed yet",
    /// The mistake of a wrong name.
    wrong_name: "A name has 3 to 100 visible characters.",
    /// The mistake of a missing stage.
    wrong_stage: "Choose one.",
    /// The mistake of a preset that is no longer offered.
    wrong_access: "Choose again what the key may do.",
    /// The mistake of boxes that the chosen level or preset ignores: the `{abilities}` of a `{resource}`, and the
    /// `{level}`, or the choice of a level for each resource, with which they count.
    wrong_boxes: "{resource}: {abilities} counts only with “{level}”. Choose that, or clear the box.",
    /// The mistake of a wrong expiry.
    wrong_expiry: "Choose when the key expires: one of these, or a date in their range.",
    /// The mistake of a date beside another choice. `{choice}` is the choice of a date.
    wrong_date: "The date counts only with “{choice}”. Choose that, or clear the date.",
    /// The mistake of a wrong grace period.
    wrong_grace: "Choose when the old key stops working.",
    /// The mistake of abilities that no longer exist: `{abilities}`.
    wrong_abilities: "These no longer exist: {abilities}. Open the form again, and choose again.",
    /// The mistake of a wrong rate limit.
    wrong_limits: "{error}",
    /// The mistake of a wrong address.
    wrong_addresses: "{error}",
    /// The mistake of a wrong site.
    wrong_origins: "{error}",
    /// The mistake of a wrong page.
    wrong_referrers: "{error}",
    /// The mistake of a wrong endpoint.
    wrong_endpoints: "{error}",
    /// The mistake of a key that would be allowed more than its owner.
    exceeds: "You cannot give a key more than you may do yourself.",
    /// The number of a wrong line in a field.
    in_line: "Line {n}: {error}",
    /// The error of too many keys.
    too_many_keys: "You have reached the limit of {n} keys: revoke one that is not needed.",
    /// The error of a state that does not allow the action.
    in_this_state: "This cannot be done: the state of the key is “{state}”.",
    /// The error of a key that was rotated already.
    already_rotated: "This key was rotated already: rotate its successor instead.",
    /// The error of a prefix that is no longer issued.
    old_format: "Keys with this prefix are no longer issued: create a new key instead.",
    /// The message that the tenant is suspended.
    suspended_says: "Your account is suspended: all its keys are refused until it is resumed. You can still disable and revoke them.",
    /// The message that another user has changed the key.
    changed_meanwhile: "Somebody changed this key after you opened the form. Check it, and save again to overwrite that change.",
    /// The title of an error.
    trouble: "That did not work",
    /// The error that keys are not available.
    unavailable: "API keys cannot be shown or changed at the moment. Try again in a moment.",
    /// The error of a wrong address of a page.
    wrong_address: "Something in the address of this page is wrong. Start with the list of keys.",
    /// The error of a form that did not arrive completely.
    wrong_form: "The form did not arrive completely. Go back, and send it again.",
    /// The title of the error of an unknown key.
    not_found: "There is no such key",
    /// The explanation of that error.
    not_found_says: "It may have been removed, or it belongs to somebody else.",
    /// The message to a caller with an API key.
    no_key_here: "Sign in to manage API keys here. An API key cannot be used for this.",
    /// The message to a user who has to sign in.
    sign_in_says: "Your session has ended, or you have to confirm your identity. Nothing that you typed is lost: sign in, come back to this page, and send the form again.",
    /// The link that signs in.
    sign_in: "Sign in, in a new tab",
    /// The message to a user who may not do this.
    may_not: "You may not do this.",
    /// The error of a cross-site request.
    from_elsewhere: "Another site sent this request, so it was refused for your safety. Open the page yourself, and try again.",
    /// The error of a request of unknown origin.
    from_nowhere: "The request has no Origin header and no Sec-Fetch-Site header, so it was refused for your safety. Use a current browser, and check whether a proxy removes these headers.",
}

impl Default for PageTexts {
    fn default() -> Self {
        Self::english()
    }
}

impl PageTexts {
    pub(super) fn stage_named(&self, stage: &str) -> String {
        match named(&self.stages, stage) {
            Some(name) => name.to_owned(),
            None => stage.to_owned(),
        }
    }

    pub(super) fn ability_named<'a>(&'a self, ability: &'a str) -> &'a str {
        named(&self.other_abilities_named, ability).unwrap_or(match ability {
            "*" => &self.everything,
            _ => ability,
        })
    }

    pub(super) fn refused_for(&self, reason: UsageKind) -> String {
        let reason = named(&self.reasons, reason.as_str()).unwrap_or(reason.as_str());
        fill(&self.refused_because, &[("reason", reason)])
    }

    pub(super) fn state_named(&self, state: KeyState) -> &str {
        match state {
            KeyState::Active => &self.active,
            KeyState::Disabled => &self.disabled,
            KeyState::Expired => &self.expired,
            KeyState::Revoked => &self.revoked,
            KeyState::Suspended => &self.suspended,
        }
    }

    pub(super) fn kind_named(&self, kind: KeyKind) -> &str {
        match kind {
            KeyKind::Secret => &self.secret_kind,
            KeyKind::Public => &self.public_kind,
        }
    }

    /// Returns the confirmation of an action.
    pub(super) fn done_named(&self, done: &str) -> Option<&str> {
        Some(match done {
            "renamed" => &self.done_renamed,
            "changed" => &self.done_changed,
            "disabled" => &self.done_disabled,
            "enabled" => &self.done_enabled,
            "revoked" => &self.done_revoked,
            _ => return None,
        })
    }
}

fn named<'a>(names: &'a [(Text, Text)], wanted: &str) -> Option<&'a str> {
    names.iter().find(|(name, _)| name == wanted).map(|(_, called)| &**called)
}

/// Fills values into the placeholders of a text. Placeholders in values are not filled.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::with_capacity(text.len() + 16), text);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        if let Some((_, value)) = values.iter().find(|(each, _)| *each == name) {
            filled.push_str(value);
        }
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_filled_in_turn() {
        assert_eq!(fill("{a} and {b}.", &[("a", "{b}"), ("b", "2")]), "{b} and 2.");
        assert_eq!(fill("none", &[]), "none");
        assert_eq!(fill("{unknown}!", &[]), "!");
    }
}
