//! Which session is meant.

use nightaudit_exchange::SessionId;

use crate::error::SessionError;

/// What [`choose`] needs to know of a session.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: SessionId,
    /// Its name.
    pub name: &'a str,
    /// Whether it can be continued.
    pub open: bool,
}

/// The minimum length of a suffix of an id.
const MIN_SUFFIX: usize = 4;

/// The session that `which` names: the newest of that name, an open one first; otherwise the one with that id, or the
/// only one whose id has this prefix, or else this suffix, ignoring case. `last` is the most recently started.
///
/// # Errors
///
/// [`SessionError::NotFound`], or [`SessionError::Ambiguous`] with the first eight.
pub fn choose<'a>(which: &str, sessions: impl IntoIterator<Item = Candidate<'a>>) -> Result<SessionId, SessionError> {
    let prefix = which.to_ascii_uppercase();
    let mut named: Option<Candidate<'a>> = None;
    let (mut ids, mut by_suffix, mut last) = (Vec::new(), Vec::new(), None);
    for session in sessions {
        last = last.max(Some(session.id));
        if session.name == which && named.is_none_or(|best| (session.open, session.id) > (best.open, best.id)) {
            named = Some(session);
        }
        let id = session.id.to_string();
        if !prefix.is_empty() && id.starts_with(&prefix) {
            ids.push(session.id);
        } else if prefix.len() >= MIN_SUFFIX && id.ends_with(&prefix) {
            by_suffix.push(session.id);
        }
    }
    if ids.is_empty() {
        ids = if which == "last" { last.into_iter().collect() } else { by_suffix };
    }
    match (named, &ids[..]) {
        (Some(session), _) => Ok(session.id),
        (None, []) => Err(SessionError::NotFound(which.to_owned())),
        (None, [id]) => Ok(*id),
        (None, _) => {
            ids.sort_unstable();
            ids.truncate(8);
            Err(SessionError::Ambiguous { prefix: which.to_owned(), ids })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_open_session_or_the_newest_and_comes_before_an_id() {
        let id = |number: u128| SessionId::from_parts(number as u64 + 1, number);
        let text = id(1).to_string();
        let all =
            [(id(0), "a", true), (id(1), "a", false), (id(2), "b", false), (id(3), "b", false), (id(4), &text, false)];
        let find = |which: &str| choose(which, all.map(|(id, name, open)| Candidate { id, name, open }));
        assert_eq!(find("a").unwrap(), id(0));
        assert_eq!(find("b").unwrap(), id(3));
        assert_eq!(find(&text).unwrap(), id(4));
        assert_eq!(find(&id(2).to_string().to_lowercase()).unwrap(), id(2));
        assert!(matches!(find("0"), Err(SessionError::Ambiguous { ids, .. }) if ids.len() == 5));
        for nothing in ["", "c", "ZZ"] {
            assert!(matches!(find(nothing), Err(SessionError::NotFound(which)) if which == nothing), "{nothing}");
        }
    }
}
