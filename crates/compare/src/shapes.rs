//! Compares two shapes: properties that are gone, new, or of other types.

use std::collections::BTreeSet;

use nightaudit_review::Severity::{self, Error, Note, Warning};
use nightaudit_shape::{Kind, Property, Shape, Step};
use nightaudit_units::count;

use crate::{
    comparer::{Comparer, Draft, Sample},
    difference::{Change, Example, Figure, Place},
};

/// Compares the bodies at one place of an operation.
pub(crate) fn compare(comparer: &mut Comparer<'_>, operation: &str, place: Place, a: &Shape, b: &Shape) {
    let pair = Pair { operation, place, is_whole: [a, b].map(|shape| shape.unlisted() == 0) };
    match (a.root(), b.root()) {
        (Some(a), Some(b)) => pair.compare(comparer, a, b),
        (None, None) => {}
        (Some(_), None) => pair.body(comparer, Change::Gone, a, b),
        (None, Some(_)) => pair.body(comparer, Change::New, a, b),
    }
}

/// What is compared.
struct Pair<'p> {
    operation: &'p str,
    place: Place,
    /// Whether there was room for all properties of either side.
    is_whole: [bool; 2],
}

impl Pair<'_> {
    /// JSON on one side only.
    fn body(&self, comparer: &mut Comparer<'_>, change: Change, a: &Shape, b: &Shape) {
        let [of_a, of_b] = [a, b].map(|shape| {
            let bodies = shape.bodies();
            Sample { count: bodies.json, of: bodies.json + bodies.empty + bodies.other }
        });
        if of_a.of == 0 || of_b.of == 0 {
            return;
        }
        let (_, several) = self.place.nouns();
        let (what, root, side) = match change {
            Change::Gone => ("no longer has JSON", a.root(), 'a'),
            _ => ("has JSON now", b.root(), 'b'),
        };
        let message = format!("The body of the {} {what}: {}.", self.place, figures(several, of_a, of_b));
        let severities = match (self.place, change) {
            (Place::Request, _) | (_, Change::New) => (Warning, Some(Note)),
            _ => (Error, Some(Warning)),
        };
        let example = root.and_then(Property::first).map(|exchange| Example { side, exchange });
        comparer.share(self.draft(change, String::new(), message, severities, example), of_a, of_b);
    }

    fn compare(&self, comparer: &mut Comparer<'_>, a: Property<'_>, b: Property<'_>) {
        if comparer.ignores(&a.pointer()) {
            return;
        }
        self.types(comparer, a, b);
        let named = |own: &Property<'_>| own.step().clone();
        let mut met = BTreeSet::new();
        for child in a.children() {
            met.insert(order(child.step()));
            match b.at(child.step()) {
                Some(other) => self.compare(comparer, child, other),
                None => self.one_sided(comparer, Change::Gone, (a, b), child),
            }
        }
        for child in b.children().filter(|child| !met.contains(&order(&named(child)))) {
            self.one_sided(comparer, Change::New, (a, b), child);
        }
    }

    /// A property that only one side has.
    fn one_sided(
        &self,
        comparer: &mut Comparer<'_>,
        change: Change,
        (a, b): (Property<'_>, Property<'_>),
        child: Property<'_>,
    ) {
        // Items and keys come with the data: a list that was always empty shows nothing of its items.
        let Step::Property(_) = child.step() else { return };
        let pointer = child.pointer();
        if comparer.ignores(&pointer) {
            return;
        }
        let parents = [a, b].map(|parent| parent.bodies_of(Kind::Object));
        // Without the object the property could not be there; without room it may have been.
        let is_known = self.is_whole[usize::from(change == Change::Gone)];
        if parents.contains(&0) || !is_known {
            return;
        }
        let own = |side: usize| Sample { count: child.bodies().min(parents[side]), of: parents[side] };
        let none = |side: usize| Sample { count: 0, of: parents[side] };
        let (of_a, of_b, side) = match change {
            Change::Gone => (own(0), none(1), 'a'),
            _ => (none(0), own(1), 'b'),
        };
        let (_, several) = self.place.nouns();
        let (what, severities) = match (change, self.place) {
            // A client breaks when a property is gone from what it receives; what it sends is its own doing.
            (Change::Gone, Place::Response(_) | Place::Received) => ("is gone", (Error, Some(Note))),
            (Change::Gone, _) => ("is no longer sent", (Warning, Some(Note))),
            (_, Place::Request | Place::Sent) => ("is sent now", (Note, Some(Note))),
            _ => ("is new", (Note, Some(Note))),
        };
        let message = format!("{pointer} {what}: in {}.", figures(several, of_a, of_b));
        let example = child.first().map(|exchange| Example { side, exchange });
        comparer.share(self.draft(change, pointer, message, severities, example), of_a, of_b);
    }

    /// The types of a property that both sides have.
    fn types(&self, comparer: &mut Comparer<'_>, a: Property<'_>, b: Property<'_>) {
        // Whatever a redacted value was, a pseudonym is a string.
        if [a, b].iter().any(|own| own.count_of(Kind::Redacted) > 0) {
            return;
        }
        let kinds =
            |own: Property<'_>| own.kinds().map(json).filter(|kind| *kind != Kind::Null).collect::<BTreeSet<_>>();
        let (of_a, of_b) = (kinds(a), kinds(b));
        let share = |own: Property<'_>, kind: Kind| {
            let count = match kind {
                // A whole number is a number.
                Kind::Number => own.bodies_of(Kind::Number).max(own.bodies_of(Kind::Integer)),
                kind => own.bodies_of(kind),
            };
            Sample { count: count.min(own.bodies()), of: own.bodies() }
        };
        // Where one side only has null, nothing is known of its type.
        let names = |own: Property<'_>| Figure::Types(own.kinds().map(|kind| kind.name().to_owned()).collect());
        let example = |kind: Kind, own: Property<'_>, side: char| {
            let first = own.first_of(kind).or_else(|| own.first_of(Kind::Integer).filter(|_| kind == Kind::Number));
            first.map(|exchange| Example { side, exchange })
        };
        let is_received = matches!(self.place, Place::Response(_) | Place::Received);
        if !of_a.is_empty() && !of_b.is_empty() {
            let (_, several) = self.place.nouns();
            let described = described(a.pointer());
            for &kind in of_b.difference(&of_a) {
                let (was, is) = (share(a, kind), share(b, kind));
                let before = of_a.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
                let message = format!(
                    "{described} was {before}, and is {kind} now: in {} of {} {several}.",
                    count(is.count),
                    count(is.of)
                );
                let severities = if is_received { (Error, Some(Warning)) } else { (Warning, Some(Note)) };
                let draft = self.draft(Change::Type, a.pointer(), message, severities, example(kind, b, 'b'));
                comparer.share(draft.with(names(a), names(b)), was, is);
            }
            // A type that is merely gone breaks nobody; where another is new, that has been said.
            if of_b.is_subset(&of_a) {
                for &kind in of_a.difference(&of_b) {
                    let (was, is) = (share(a, kind), share(b, kind));
                    let message = format!(
                        "{described} is no longer {kind}: it was in {} of {} {several}.",
                        count(was.count),
                        count(was.of)
                    );
                    let draft =
                        self.draft(Change::Type, a.pointer(), message, (Note, Some(Note)), example(kind, a, 'a'));
                    comparer.share(draft.with(names(a), names(b)), was, is);
                }
            }
        }
        self.nulls(comparer, a, b, is_received);
    }

    /// Nulls where there were none before. That there are none now, or that there are more, is up to the data.
    fn nulls(&self, comparer: &mut Comparer<'_>, a: Property<'_>, b: Property<'_>, is_received: bool) {
        let share = |own: Property<'_>| Sample { count: own.bodies_of(Kind::Null), of: own.bodies() };
        let (was, is) = (share(a), share(b));
        if was.count > 0 || is.count == 0 {
            return;
        }
        let (_, several) = self.place.nouns();
        let message = format!("{} is null now: in {}.", described(a.pointer()), figures(several, was, is));
        let severity = if is_received { Warning } else { Note };
        let example = b.first_of(Kind::Null).map(|exchange| Example { side: 'b', exchange });
        let draft = self.draft(Change::Type, a.pointer(), message, (severity, None), example);
        let names = |own: Property<'_>| Figure::Types(own.kinds().map(|kind| kind.name().to_owned()).collect());
        comparer.share(draft.with(names(a), names(b)), was, is);
    }

    fn draft(
        &self,
        change: Change,
        pointer: String,
        message: String,
        severities: (Severity, Option<Severity>),
        example: Option<Example>,
    ) -> Draft {
        let mut draft = Draft::new(self.place.kind(), change, severities, Some(self.operation), pointer, message);
        draft.difference.place = Some(self.place);
        draft.difference.examples.extend(example);
        draft
    }
}

/// `4,000 of 4,000 responses before, none of 4,100 now`
fn figures(several: &str, a: Sample, b: Sample) -> String {
    let number = |sample: Sample| match sample.count {
        0 => "none".to_owned(),
        number => count(number),
    };
    format!("{} of {} {several} before, {} of {} now", number(a), count(a.of), number(b), count(b.of))
}

fn described(pointer: String) -> String {
    if pointer.is_empty() { "The body".to_owned() } else { pointer }
}

/// The type as JSON has it: whole numbers are numbers.
const fn json(kind: Kind) -> Kind {
    match kind {
        Kind::Integer => Kind::Number,
        kind => kind,
    }
}

/// What a step can be ordered by.
fn order(step: &Step) -> (u8, String) {
    match step {
        Step::Root => (0, String::new()),
        Step::Items => (1, String::new()),
        Step::Key => (2, String::new()),
        Step::Property(name) => (3, name.to_string()),
    }
}
