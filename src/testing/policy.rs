//! [`assert_policy_covers`]: finds routes without a rule.

use crate::key::EndpointPattern;
use crate::policy::AccessPolicy;

/// Checks that a policy has a rule for every route of an application.
///
/// Routes are written as in axum: `GET /users/{id}`, `/files/{*path}`. A route without a method has to
/// be covered for every method. A route with parameters has to be covered by a rule for all of its
/// paths: `/users/{id}` by `/users/{user}` or `/users/*`, not by `/users/me`. A path with a more
/// specific rule, such as `/users/me` beside `/users/{id}`, is judged by that rule alone, as in a
/// router; list it as a route if the application has it.
///
/// # Panics
///
/// Panics with the names of all routes that no rule covers.
///
/// # Examples
///
/// ```
/// use tower_api_key::policy::{AccessPolicy, Requirement};
/// use tower_api_key::testing::assert_policy_covers;
///
/// let policy = AccessPolicy::builder()
///     .allow("GET /users/{id}", Requirement::ability("users:read"))
///     .build()?;
/// assert_policy_covers(&policy, ["GET /users/{user_id}"]);
/// # Ok::<_, tower_api_key::policy::PolicyError>(())
/// ```
pub fn assert_policy_covers<R>(policy: &AccessPolicy, routes: impl IntoIterator<Item = R>)
where
    R: AsRef<str>,
{
    let uncovered: Vec<String> = routes
        .into_iter()
        .filter_map(|route| {
            let route = route.as_ref();
            match route.parse::<EndpointPattern>() {
                Ok(endpoint) if policy.covers(&endpoint) => None,
                Ok(_) => Some(format!("\n- {route}")),
                Err(error) => Some(format!("\n- {route}: {error}")),
            }
        })
        .collect();
    assert!(uncovered.is_empty(), "no rule of the policy covers:{}", uncovered.concat());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Requirement;

    fn policy() -> AccessPolicy {
        ["GET /users/{id}", "GET /users/me", "/files/*", "POST /x/{a}/{b}", "/any"]
            .into_iter()
            .fold(AccessPolicy::builder(), |policy, endpoint| {
                policy.allow(endpoint, Requirement::key())
            })
            .build()
            .unwrap()
    }

    #[test]
    fn routes_with_a_rule_are_covered() {
        let routes = ["GET /users/{user}", "GET /users/me", "/files/{*path}", "GET /files/{name}"];
        assert_policy_covers(&policy(), routes);
        assert_policy_covers(&policy(), ["PUT /any", "/any", "POST /x/{b}/{c}"]);
    }

    #[test]
    #[should_panic(
        expected = "covers:\n- POST /users/{id}\n- /users/{id}\n- GET /users\n- POST /x/{*rest}\n\
                    - GET /a//b: no request"
    )]
    fn each_route_without_a_rule_is_named() {
        let routes = [
            "GET /users/{id}",
            "POST /users/{id}",
            "/users/{id}",
            "GET /users",
            "POST /x/{*rest}",
            "GET /a//b",
        ];
        assert_policy_covers(&policy(), routes);
    }
}
