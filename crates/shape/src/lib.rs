//! The shape of JSON bodies, merged over many: which properties they have, of which types, and how often.
//!
//! A [`Shape`] takes bodies one by one and keeps none of their values. Each is read once, by a serde visitor, without
//! building it. Memory is bounded by a [`Room`] that all shapes of a recording share: what doesn't fit is counted in
//! [`Shape::unlisted`].
//!
//! ```
//! use nightaudit_exchange::{Body, ExchangeId};
//! use nightaudit_shape::{Kind, Room, Shape};
//!
//! let (mut shape, mut room) = (Shape::default(), Room::default());
//! for (body, number) in [r#"{"Items":[{"Id":"a"},{"Id":"b","Note":null}]}"#, r#"{"Items":[]}"#].iter().zip(1..) {
//!     shape.add(&Body::whole((*body).into()), ExchangeId::from_parts(number, 0), &mut room);
//! }
//! let root = shape.root().expect("both are JSON");
//! let items = root.child("Items").and_then(|items| items.items()).expect("one list has items");
//! let note = items.child("Note").expect("one item has it");
//! assert_eq!(note.pointer(), "/Items/*/Note");
//! assert_eq!((note.count(), items.count_of(Kind::Object)), (1, 2));
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod kind;
mod property;
mod shape;
mod walk;

pub use self::{
    kind::{Formats, Kind},
    property::Property,
    shape::{Bodies, Room, Shape, Step},
};
