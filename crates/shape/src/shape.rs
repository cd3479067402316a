//! Shapes and their bounds.

use std::hash::{BuildHasher as _, RandomState};

use compact_str::CompactString;
use hashbrown::HashTable;
use nightaudit_exchange::ExchangeId;
use smallvec::SmallVec;

use crate::kind::{Formats, Kind};

/// The most places of one shape. The largest response of the documented API has some two hundred.
const MOST_NODES: usize = 8192;

/// The most bytes of a name that are kept.
const LONGEST_NAME: usize = 120;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// How many places all shapes of a recording may have together.
#[derive(Debug, Clone)]
pub struct Room {
    nodes: usize,
}

impl Room {
    /// Room for this many places, each of about 200 bytes.
    #[must_use]
    pub const fn new(nodes: usize) -> Self {
        Self { nodes }
    }
}

/// 100,000 places: about 20 MiB.
impl Default for Room {
    fn default() -> Self {
        Self::new(100_000)
    }
}

/// The step from a value to one in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The body itself.
    Root,
    /// A property of an object.
    Property(CompactString),
    /// Any property of an object whose properties are named by ids, dates or numbers.
    Key,
    /// Any item of an array.
    Items,
}

/// The merged shape of bodies.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    pub(crate) nodes: Vec<Node>,
    /// Nodes by parent and step.
    index: HashTable<u32>,
    hasher: RandomState,
    pub(crate) bodies: Bodies,
    pub(crate) unlisted: u64,
    /// Places of the last body.
    pub(crate) places: u64,
}

/// How many bodies a shape was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bodies {
    /// JSON.
    pub json: u64,
    /// Without a body.
    pub empty: u64,
    /// Not JSON, or nested deeper than 127 levels.
    pub other: u64,
    /// Not read: truncated, withheld, or in a content coding that can't be decoded.
    pub unread: u64,
}

/// A place in the bodies.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) step: Step,
    pub(crate) parent: u32,
    /// Its children, in the order in which they were first seen.
    pub(crate) first: u32,
    last: u32,
    pub(crate) next: u32,
    /// Bodies that have it.
    pub(crate) bodies: u64,
    /// The number of the last of them.
    stamp: u64,
    pub(crate) seen: SmallVec<[Seen; 1]>,
    pub(crate) formats: Formats,
}

/// A type that was seen at a place.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) count: u64,
    /// Bodies that have it.
    pub(crate) bodies: u64,
    stamp: u64,
    /// The first exchange that had it.
    pub(crate) first: ExchangeId,
}

impl Shape {
    /// The numbers of bodies.
    #[must_use]
    pub const fn bodies(&self) -> Bodies {
        self.bodies
    }

    /// Properties that were met and not kept, because there was no room.
    #[must_use]
    pub const fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Notes a value; `stamp` is the number of the body.
    pub(crate) fn see(&mut self, node: u32, kind: Kind, stamp: u64, from: ExchangeId) {
        let node = &mut self.nodes[node as usize];
        if std::mem::replace(&mut node.stamp, stamp) != stamp {
            node.bodies += 1;
            self.places += 1;
        }
        let index = node.seen.iter().position(|seen| seen.kind == kind).unwrap_or_else(|| {
            node.seen.push(Seen { kind, count: 0, bodies: 0, stamp: 0, first: from });
            node.seen.len() - 1
        });
        let seen = &mut node.seen[index];
        seen.count += 1;
        if std::mem::replace(&mut seen.stamp, stamp) != stamp {
            seen.bodies += 1;
        }
    }

    /// The child of a node; a new one if there is room.
    pub(crate) fn child(&mut self, parent: u32, step: StepRef<'_>, room: &mut Room) -> Option<u32> {
        let hash = self.hasher.hash_one((parent, step));
        let nodes = &self.nodes;
        let is_it = |&own: &u32| {
            let node = &nodes[own as usize];
            node.parent == parent && step.is(&node.step)
        };
        if let Some(found) = self.index.find(hash, is_it) {
            return Some(*found);
        }
        if self.nodes.len() >= MOST_NODES || room.nodes == 0 {
            return None;
        }
        room.nodes -= 1;
        let number = self.push(parent, step.to_step());
        let before = std::mem::replace(&mut self.nodes[parent as usize].last, number);
        match before {
            NONE => self.nodes[parent as usize].first = number,
            before => self.nodes[before as usize].next = number,
        }
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index.insert_unique(hash, number, |&own| {
            let node = &nodes[own as usize];
            hasher.hash_one((node.parent, StepRef::of(&node.step)))
        });
        Some(number)
    }

    /// The root, created with the first body.
    pub(crate) fn rooted(&mut self) -> u32 {
        if self.nodes.is_empty() {
            self.push(NONE, Step::Root);
        }
        0
    }

    fn push(&mut self, parent: u32, step: Step) -> u32 {
        let number = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(Node {
            step,
            parent,
            first: NONE,
            last: NONE,
            next: NONE,
            bodies: 0,
            stamp: 0,
            seen: SmallVec::new(),
            formats: Formats::ANY,
        });
        number
    }
}

/// A step that isn't kept yet.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum StepRef<'n> {
    Root,
    Property(&'n str),
    Key,
    Items,
}

impl<'n> StepRef<'n> {
    /// The step to the property of this name, of which a long one is cut.
    pub(crate) fn named(name: &'n str) -> Self {
        if crate::kind::is_key(name) {
            return Self::Key;
        }
        let mut end = name.len().min(LONGEST_NAME);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self::Property(&name[..end])
    }

    fn of(step: &'n Step) -> Self {
        match step {
            Step::Root => Self::Root,
            Step::Property(name) => Self::Property(name),
            Step::Key => Self::Key,
            Step::Items => Self::Items,
        }
    }

    pub(crate) fn is(self, step: &Step) -> bool {
        match (self, step) {
            (Self::Property(name), Step::Property(own)) => name == own,
            (Self::Key, Step::Key) | (Self::Items, Step::Items) | (Self::Root, Step::Root) => true,
            _ => false,
        }
    }

    fn to_step(self) -> Step {
        match self {
            Self::Root => Step::Root,
            Self::Property(name) => Step::Property(name.into()),
            Self::Key => Step::Key,
            Self::Items => Step::Items,
        }
    }
}
