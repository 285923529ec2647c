//! [`PageTexts`]: all that the pages say, in one place.

use std::borrow::Cow;

use crate::key::KeyKind;
use crate::store::{KeyState, UsageKind};

/// A text of the pages.
type Text = Cow<'static, str>;

/// Declares the texts with what they are in English.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $english:literal,)*) => {
        /// All that the pages say. The default is [English](Self::english).
        ///
        /// A product calls things what its customers know, such as "tokens" and "environments", and speaks
        /// their language. What is in braces is filled in. `{error}` is what the [API](crate::manage::api) says of
        /// a line that is wrong, which is in English: a text in another language says it in its own words.
        ///
        /// # Examples
        ///
        /// ```
        /// use tower_api_key::manage::pages::PageTexts;
        ///
        /// let mut texts = PageTexts::english();
        /// texts.stage = "Environment".into();
        /// texts.stages.push(("live".into(), "Production".into()));
        /// ```
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct PageTexts {
            /// The language, as HTML names it.
            pub lang: Text,
            /// What stages are called: the name in a record, and that on the pages.
            pub stages: Vec<(Text, Text)>,
            /// What abilities are called that the catalogue does not have.
            pub other_abilities_named: Vec<(Text, Text)>,
            /// What reasons for a refusal are called, by [how they are counted](crate::store::UsageKind::as_str).
            pub reasons: Vec<(Text, Text)>,
            /// The months, in short.
            pub months: [Text; 12],
            /// One minute, and more of them.
            pub minutes: [Text; 2],
            /// One hour, and more of them.
            pub hours: [Text; 2],
            /// One day, and more of them.
            pub days: [Text; 2],
            /// One month, and more of them.
            pub many_months: [Text; 2],
            /// One year, and more of them.
            pub years: [Text; 2],
            /// By which periods usage is shown: hours, days, months.
            pub periods: [Text; 3],
            /// What somebody does first who has no key.
            pub first_steps: Vec<Text>,
            /// How long a rotated key works on, and what follows: not at all, an hour, a day, a week.
            pub graces: [(Text, Text); 4],
            $($(#[$doc])* pub $name: Text,)*
        }

        impl PageTexts {
            /// Says all in English.
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
    /// The button that begins a new key.
    new_key: "Create key",
    /// What is said in front of the form for a new key.
    new_key_lead: "Give each program its own key, so that one can be replaced without the others.",
    /// The button that begins a new public key.
    new_public_key: "Create public key",
    /// What is said in front of the form for a new public key.
    new_public_key_lead: "A public key stands in web pages, where everybody can read it. Name the sites that may use it.",
    /// The button that issues the key.
    create: "Create key",
    /// The button that saves a change.
    save: "Save changes",
    /// The link that leaves a form.
    cancel: "Cancel",
    /// What somebody sees who has no key.
    no_keys: "No keys yet",
    /// What follows it.
    no_keys_says: "A key identifies your program to the API, and says what it may do.",
    /// The button that begins the first key.
    first_key: "Create your first key",
    /// What is said if no key matches the filters.
    none_found: "No key matches these filters.",
    /// What the filters are.
    filters: "Filter keys",
    /// The field that searches by name.
    search: "Search by name",
    /// The option of a filter that filters nothing.
    any: "Any",
    /// The filter for keys that nobody uses.
    unused: "Not used for 90 days",
    /// The button that applies the filters.
    apply: "Apply",
    /// The link that takes the filters away.
    clear: "Clear filters",
    /// What is said if more keys match than are sorted.
    sorted_in_part: "The newest 1000 keys that match are sorted. Filter the list to see others.",
    /// What the steps through the list are.
    pages: "Pages of the list",
    /// The link to the first page.
    first_page: "First page",
    /// The link to the next page.
    next_page: "Next page",
    /// The link back to the list, where something went wrong.
    to_the_list: "All API keys",
    /// What can be done to a key.
    actions: "Actions",
    /// What a key is called.
    name: "Name",
    /// What is said of the name.
    name_hint: "What the key is for, such as “Nightly import”.",
    /// Whether a key works.
    state: "State",
    /// The state of a key that works.
    active: "Active",
    /// The state of a key that ends within two weeks.
    expires_soon: "Expires soon",
    /// The state of a key that is out of use for the time being.
    disabled: "Disabled",
    /// The state of a key whose time is over.
    expired: "Expired",
    /// The state of a key that was revoked.
    revoked: "Revoked",
    /// The state of a key that has a successor.
    rotated: "Rotated",
    /// The state of a key whose tenant is suspended.
    suspended: "Suspended",
    /// The link to the key that replaces one.
    to_successor: "Successor",
    /// Until when a rotated key works.
    works_until: "works until",
    /// What a key may do.
    abilities: "Access",
    /// What is said of what a key may do.
    abilities_hint: "A key can do only what you allow here.",
    /// What is said of a key that may do nothing.
    no_abilities: "No access",
    /// What is said of a key that may do everything.
    everything: "Everything",
    /// What is said of a key that may do all of a resource.
    all_of: "All of {resource}",
    /// How many abilities are not named.
    more: "+{n} more",
    /// Abilities that the catalogue does not have.
    other_abilities: "Other access",
    /// The choice of each resource by itself.
    by_resource: "Choose by resource",
    /// What is said of it.
    by_resource_says: "Only what the program needs",
    /// None of a resource.
    level_none: "None",
    /// Reading a resource.
    level_read: "Read",
    /// All of a resource.
    level_write: "Read and write",
    /// A choice of its own.
    level_custom: "Custom",
    /// What live and test keys are kept apart by.
    stage: "Stage",
    /// What is said of the stage.
    stage_hint: "The key works in this stage only.",
    /// What is said of a key that works in all stages.
    any_stage: "All stages",
    /// When a key was issued.
    created: "Created",
    /// By whom.
    by: "by",
    /// The application itself, which has done something.
    the_system: "the system",
    /// A key that has done something.
    a_key: "key",
    /// When a key was last used.
    last_used: "Last used",
    /// Not at any time.
    never: "Never",
    /// The column of the usage of the last days.
    thirty_days: "Last 30 days",
    /// That there was one request.
    one_request: "1 request, {share}\u{a0}% refused",
    /// How many requests there were.
    requests: "{n} requests, {share}\u{a0}% refused",
    /// That there were none.
    no_requests: "No requests",
    /// What time ago something was.
    ago: "{time} ago",
    /// In what time something will be.
    ahead: "in {time}",
    /// That something was less than a minute ago.
    just_now: "just now",
    /// When a key expires.
    expiry: "Expires",
    /// What is said of when a key expires.
    expiry_hint: "A key that expires limits what a leak can do.",
    /// So many days from now.
    in_days: "{n} days",
    /// Until which day that is.
    until: "until {date}",
    /// On a day to choose.
    on_date: "On a date",
    /// The field for that day.
    date: "Date (the key works to its end, in UTC)",
    /// At no time.
    never_expires: "Never",
    /// What is said of that.
    never_expires_says: "Rotate it yourself from time to time",
    /// To leave the expiry as it is.
    keep_expiry: "As it is",
    /// What is folded away in the form.
    restrictions: "Restrictions",
    /// What is said of it.
    restrictions_hint: "Optional. One entry a line; an empty field restricts nothing.",
    /// How often a key may be used.
    limits: "Rate limits",
    /// What is said of it.
    limits_hint: "Such as “100 per minute” or “10000 per day”.",
    /// From which addresses a key may be used.
    addresses: "IP addresses",
    /// What is said of it.
    addresses_hint: "Addresses and networks, such as “192.0.2.7” or “2001:db8::/32”.",
    /// Which sites may use a key.
    origins: "Sites",
    /// What is said of it.
    origins_hint: "Sites whose pages may use the key, such as “https://*.shop.example”.",
    /// Which pages may use a key.
    referrers: "Pages",
    /// What is said of it.
    referrers_hint: "Pages that may use the key, such as “https://app.example/*”.",
    /// On which endpoints a key works.
    endpoints: "Endpoints",
    /// What is said of it.
    endpoints_hint: "Methods and paths, such as “GET /v1/reports/*”.",
    /// That there is no restriction.
    not_restricted: "Not restricted",
    /// That the list is empty, and allows nothing.
    nothing_allowed: "None: no request is let through",
    /// The title of the page of a new secret.
    your_key: "Your new key",
    /// What is said of it.
    your_key_says: "Copy it now. For your safety it is shown only this once: nobody can look it up again, and we keep no copy.",
    /// The title of the page of a new public key.
    your_public_key: "Your new public key",
    /// What is said of it.
    your_public_key_says: "Put it into your pages. You find it again on the page of the key.",
    /// What is said if the form was sent again.
    replaces_another: "This form was sent more than once. The key that was made first was replaced by this one, and does not work.",
    /// The secret.
    secret: "Key",
    /// What is said in front of how it is used.
    try_it: "Use it",
    /// A call of the API.
    with_curl: "With curl",
    /// A line of the environment of a program.
    in_environment: "In an .env file",
    /// The button that says that the secret is in a safe place.
    stored: "I have stored it",
    /// The button that goes on to the page of a public key.
    to_the_key: "Go to the key",
    /// The button that copies.
    copy: "Copy",
    /// The button that copies, for those who do not see beside what it stands.
    copy_what: "Copy: {what}",
    /// That it is copied.
    copied: "Copied",
    /// That it could not be copied, but is selected.
    not_copied: "Press Ctrl+C to copy",
    /// The title of the answer to a form that has made a key before.
    already_created: "This key was already created",
    /// What is said then.
    already_created_says: "The form was sent before, and its key is in use, or was made some time ago. Its secret cannot be shown again; rotate the key if you need another.",
    /// The link to another form.
    another_key: "Create another key",
    /// The record of a key.
    details: "Details",
    /// The public id.
    id: "Key ID",
    /// Secret or public.
    kind: "Kind",
    /// A key that is a secret.
    secret_kind: "Secret: for programs only",
    /// A key that everybody can read.
    public_kind: "Public: for web pages",
    /// A key that everybody can read, in one word.
    public: "Public",
    /// When a key should be replaced.
    rotation_due: "Rotation due",
    /// The key that replaces one.
    successor: "Replaced by",
    /// The key with which one counts together.
    counted_as: "Rate limits count with",
    /// How a key was used.
    usage: "Requests",
    /// What the ways to look at it are.
    usage_by: "Period",
    /// What the table of it is.
    usage_caption: "Requests by period, accepted and refused by reason",
    /// The column of the periods.
    period: "Period",
    /// Requests that were let through.
    accepted: "Accepted",
    /// Requests that were refused.
    refused: "Refused",
    /// The column of requests that were refused for one reason.
    refused_because: "Refused: {reason}",
    /// The table, which is folded away.
    as_table: "Show as a table",
    /// That usage cannot be shown at the moment.
    usage_unknown: "The numbers cannot be read at the moment.",
    /// The history of changes.
    history: "History",
    /// The link to changes further back.
    older: "Older changes",
    /// What an event says of what was changed.
    what_changed: "Changed: {fields}",
    /// That somebody has issued the key.
    was_issued: "Created",
    /// That somebody has changed the key.
    was_updated: "Changed",
    /// That somebody has taken the key out of use.
    was_disabled: "Disabled",
    /// That somebody has put the key into use again.
    was_enabled: "Enabled",
    /// That somebody has given the key a successor.
    was_rotated: "Rotated",
    /// That somebody has revoked the key.
    was_revoked: "Revoked",
    /// To give a key another name.
    rename: "Rename",
    /// To change a key.
    change: "Change",
    /// To take a key out of use.
    disable: "Disable",
    /// To put a key into use again.
    enable: "Enable",
    /// To give a key a successor.
    rotate: "Rotate",
    /// What rotating is.
    rotate_says: "You get a new key with the same access. Choose when the old one stops working.",
    /// When a rotated key stops working.
    grace: "The old key stops working",
    /// To revoke a key.
    revoke: "Revoke",
    /// What follows for requests.
    revoke_refused: "stops working at once: every request with it is refused.",
    /// That it cannot be taken back.
    revoke_for_good: "This cannot be undone.",
    /// What can be done instead.
    revoke_instead: "To replace it without an interruption, rotate it instead. To stop it for a while, disable it.",
    /// The box that has successors revoked, too.
    with_successors: "Revoke the keys that replaced it, too",
    /// What is said of it.
    with_successors_says: "Otherwise they go on working.",
    /// That the key has a new name.
    done_renamed: "The key has a new name.",
    /// That the key was changed.
    done_changed: "The key was changed.",
    /// That the key is out of use.
    done_disabled: "The key is disabled: its requests are refused until you enable it.",
    /// That the key is in use again.
    done_enabled: "The key is enabled.",
    /// That the key was revoked.
    done_revoked: "The key was revoked.",
    /// What stands above all that is wrong with a form.
    not_done: "Nothing was changed yet",
    /// What is wrong with a name.
    wrong_name: "A name has 3 to 100 visible characters.",
    /// What is wrong if no stage is chosen.
    wrong_stage: "Choose one.",
    /// What is wrong if a preset is not offered any more.
    wrong_access: "Choose again what the key may do.",
    /// What is wrong with an expiry.
    wrong_expiry: "Choose when the key expires: one of these, or a date in their range.",
    /// What is wrong with a grace.
    wrong_grace: "Choose when the old key stops working.",
    /// What is wrong with abilities that are not there any more.
    wrong_abilities: "One of these does not exist any more: open the form again, and choose once more.",
    /// What is wrong with a rate limit.
    wrong_limits: "{error}",
    /// What is wrong with an address.
    wrong_addresses: "{error}",
    /// What is wrong with a site.
    wrong_origins: "{error}",
    /// What is wrong with a page.
    wrong_referrers: "{error}",
    /// What is wrong with an endpoint.
    wrong_endpoints: "{error}",
    /// What is wrong if a key would be allowed more than the person who grants it.
    exceeds: "You cannot give a key more than you may do yourself.",
    /// In which line of a field something is wrong.
    in_line: "Line {n}: {error}",
    /// That there are as many keys as there may be.
    too_many_keys: "The number of your keys is limited to {n}, and you have as many: revoke one that is not needed.",
    /// That a key is in a state in which this cannot be done.
    in_this_state: "This cannot be done: the state of the key is “{state}”.",
    /// That the key has a successor already.
    already_rotated: "The key was rotated already: rotate its successor instead.",
    /// That keys which begin like this one are not issued any more.
    old_format: "Keys that begin like this one are not issued any more: create a new key instead.",
    /// That all keys are out of use.
    suspended_says: "Your account is suspended: all its keys are refused until it is resumed. You can still disable and revoke them.",
    /// That somebody else has changed the key.
    changed_meanwhile: "Somebody has changed this key since you opened the form. Look at it, and save again to replace that.",
    /// The title of what cannot be done.
    trouble: "That did not work",
    /// That keys cannot be shown or changed.
    unavailable: "API keys cannot be shown or changed at the moment. Try again in a moment.",
    /// That the address of a page is wrong.
    wrong_address: "Something in the address of this page is wrong. Start with the list of keys.",
    /// That a form came in pieces, or not at all.
    wrong_form: "The form did not arrive whole. Go back, and send it again.",
    /// The title of what is not there.
    not_found: "There is no such key",
    /// What is said of that.
    not_found_says: "It may have been removed, or it belongs to somebody else.",
    /// What is said to a key.
    no_key_here: "API keys are managed here by people who are signed in, and not with a key.",
    /// What is said to somebody who has to sign in.
    sign_in_says: "You are not signed in any more, or have to confirm who you are. Nothing you typed is lost: sign in, come back to this page, and send it again.",
    /// The link that signs in.
    sign_in: "Sign in, in a new tab",
    /// What is said to somebody who may not do this.
    may_not: "You may not do this.",
    /// What is said of a request from another site.
    from_elsewhere: "The request was sent by another site, and refused for your safety. Open the page yourself, and try again.",
    /// What is said of a request of which nobody knows where it comes from.
    from_nowhere: "Your browser does not say from which page the request comes, so it was refused for your safety. Use a current browser, and check whether a proxy removes the headers Origin and Sec-Fetch-Site.",
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

    /// Returns what is said when something was done.
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

/// Fills values into the braces of a text. What is in a value is left as it is.
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
