//! The schema's versions.

/// The migrations, in order; the first makes version 1.
pub(crate) const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];
/// The version that this program writes and reads.
pub(crate) const VERSION: i32 = MIGRATIONS.len() as i32;
/// The roles, and the table of applied migrations.
pub(crate) const ROLES: &str = include_str!("migrations/roles.sql");
