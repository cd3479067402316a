//! A place in a shape, as readers see it.

use nightaudit_exchange::ExchangeId;

use crate::{
    kind::{Formats, Kind},
    shape::{NONE, Node, Shape, Step, StepRef},
};

/// A place in the bodies: the body itself, a property, or the items of an array.
#[derive(Debug, Clone, Copy)]
pub struct Property<'s> {
    shape: &'s Shape,
    number: u32,
}

impl Shape {
    /// The bodies themselves; `None` if none was JSON.
    #[must_use]
    pub fn root(&self) -> Option<Property<'_>> {
        (!self.nodes.is_empty() && self.bodies.json > 0).then(|| Property::of(self, 0))
    }
}

impl<'s> Property<'s> {
    pub(crate) const fn of(shape: &'s Shape, number: u32) -> Self {
        Self { shape, number }
    }

    fn node(self) -> &'s Node {
        &self.shape.nodes[self.number as usize]
    }

    /// The step that leads to it.
    #[must_use]
    pub fn step(self) -> &'s Step {
        &self.node().step
    }

    /// Its JSON pointer (RFC 6901), with `*` for the items of an array and for properties that are named by ids; empty
    /// for the body itself.
    #[must_use]
    pub fn pointer(self) -> String {
        let mut steps = Vec::new();
        let mut node = self.node();
        while let Some(parent) = self.shape.nodes.get(node.parent as usize) {
            steps.push(match &node.step {
                Step::Property(name) => name.replace('~', "~0").replace('/', "~1"),
                _ => "*".to_owned(),
            });
            node = parent;
        }
        steps.iter().rev().fold(String::new(), |pointer, step| pointer + "/" + step)
    }

    /// How often it was there.
    #[must_use]
    pub fn count(self) -> u64 {
        self.node().seen.iter().map(|seen| seen.count).sum()
    }

    /// How many bodies have it.
    #[must_use]
    pub fn bodies(self) -> u64 {
        self.node().bodies
    }

    /// How often it had this type.
    #[must_use]
    pub fn count_of(self, kind: Kind) -> u64 {
        self.seen(kind).map_or(0, |seen| seen.count)
    }

    /// How many bodies have it with this type.
    #[must_use]
    pub fn bodies_of(self, kind: Kind) -> u64 {
        self.seen(kind).map_or(0, |seen| seen.bodies)
    }

    /// The first exchange in which it had this type.
    #[must_use]
    pub fn first_of(self, kind: Kind) -> Option<ExchangeId> {
        self.seen(kind).map(|seen| seen.first)
    }

    /// The types it had, in the order of [`Kind::ALL`].
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.count_of(*kind) > 0)
    }

    /// The first exchange that has it.
    #[must_use]
    pub fn first(self) -> Option<ExchangeId> {
        // Types are listed in the order in which they were first seen.
        self.node().seen.first().map(|seen| seen.first)
    }

    /// The formats that all its strings have.
    #[must_use]
    pub fn formats(self) -> Formats {
        self.node().formats
    }

    /// What was seen in it: properties in the order in which they first appeared, and the items of an array.
    pub fn children(self) -> impl Iterator<Item = Property<'s>> {
        let mut next = self.node().first;
        let all = std::iter::from_fn(move || {
            let own = (next != NONE).then_some(Self { number: next, ..self })?;
            next = own.node().next;
            Some(own)
        });
        all.filter(|own| own.node().bodies > 0)
    }

    /// The property of this name.
    #[must_use]
    pub fn child(self, name: &str) -> Option<Self> {
        self.by(StepRef::named(name))
    }

    /// The child that this step leads to.
    #[must_use]
    pub fn at(self, step: &Step) -> Option<Self> {
        self.children().find(|own| own.step() == step)
    }

    /// The items of the array.
    #[must_use]
    pub fn items(self) -> Option<Self> {
        self.by(StepRef::Items)
    }

    fn by(self, step: StepRef<'_>) -> Option<Self> {
        self.children().find(|own| step.is(own.step()))
    }

    fn seen(self, kind: Kind) -> Option<&'s crate::shape::Seen> {
        self.node().seen.iter().find(|seen| seen.kind == kind)
    }
}
